"""Files of staged content: how long each stays, and how a lost one is written again."""

import gc
import os
import pickle
import threading
import time

import numpy as np
import pytest
from packed_data import LIMIT, files, pack

from hpcml.data.call_data import CallData
from hpcml.data.loading import loads_function
from hpcml.errors import DataError, DataMissing


def test_a_file_is_removed_with_its_array(store, tmp_path):
    array = np.arange(1000.0)
    pack(CallData(store, LIMIT), array.reshape(10, 100).T)
    assert len(files(tmp_path)) == 1
    del array
    assert not files(tmp_path)


def test_a_file_stays_while_a_task_needs_it(store, tmp_path):
    packed = pack(CallData(store, LIMIT), [np.arange(1000.0), b"x" * 200_000])
    assert len(files(tmp_path)) == 1
    assert loads_function(pickle.loads(pickle.dumps(packed)))[0][1] == b"x" * 200_000
    del packed
    assert not files(tmp_path)


def test_the_file_of_a_view_is_removed_with_the_view(store, tmp_path):
    """Otherwise the files of windows over one array would accumulate for as long as that array exists."""
    array = np.arange(100_000.0)
    for start in range(0, 50_000, 1000):
        pack(CallData(store, LIMIT), array[start : start + 50_000])
    assert not files(tmp_path)
    window = array[:50_000]
    pack(CallData(store, LIMIT), window)
    assert len(files(tmp_path)) == 1
    del window
    assert not files(tmp_path)


def test_content_that_cannot_be_restored_is_staged_by_the_next_call(store, tmp_path):
    array = np.arange(1000.0)
    packed = pack(CallData(store, LIMIT), array)
    (file,) = files(tmp_path)
    os.truncate(file, 8)
    with pytest.raises(DataMissing) as caught:
        loads_function(pickle.loads(pickle.dumps(packed)))[0]
    with pytest.raises(DataError, match="removed while tasks needed it"):
        store.restore(caught.value.digest, time.monotonic())
    again = pack(CallData(store, LIMIT), array)
    assert np.array_equal(loads_function(pickle.loads(pickle.dumps(again)))[0], array)


def test_removed_content_is_restored_while_a_task_needs_it(store, tmp_path):
    array = np.arange(1000.0)
    packed = pack(CallData(store, LIMIT), array)
    for _ in range(2):
        for file in files(tmp_path):
            file.unlink()
        with pytest.raises(DataMissing) as caught:
            loads_function(pickle.loads(pickle.dumps(packed)))[0]
        store.restore(caught.value.digest, time.monotonic())
        assert np.array_equal(loads_function(pickle.loads(pickle.dumps(packed)))[0], array)
    del packed, array
    assert [file.name for file in files(tmp_path)] == ["verifying"]
    assert not store._staging._copies._open


def test_nothing_is_left_to_the_garbage_collector(store, tmp_path):
    gc.disable()
    try:
        pack(CallData(store, LIMIT), {"a": np.arange(1000.0), "f": lambda: None})
        assert not files(tmp_path)
    finally:
        gc.enable()


def test_threads_share_one_file(store, tmp_path):
    arrays = [np.arange(50_000.0) for _ in range(8)]
    packed = []
    threads = [threading.Thread(target=lambda a=array: packed.append(pack(CallData(store, LIMIT), a)))
               for array in arrays]  # fmt: skip
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(packed) == 8
    assert len(files(tmp_path)) == 1


def test_a_forked_child_removes_nothing(store, tmp_path):
    array = np.arange(1000.0)
    pack(CallData(store, LIMIT), array)
    child = os.fork()
    if child == 0:
        del array
        os._exit(0)
    os.waitpid(child, 0)
    assert len(files(tmp_path)) == 1
