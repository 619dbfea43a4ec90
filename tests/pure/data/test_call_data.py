"""The large data of one call: hashed once, staged once, small arrays when they are sent often."""

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from packed_data import LIMIT, files, pack

import hpcml.data.call_data
import hpcml.data.digests
from hpcml.data.call_data import CallData
from hpcml.data.loading import loads_function
from hpcml.data.out_of_band import Packer
from hpcml.data.staging.file_system import LocalStaging
from hpcml.data.staging.files import DataPart
from hpcml.data.staging.store import Store
from hpcml.errors import DataError


@pytest.fixture
def hashed(monkeypatch) -> list[int]:
    """Lengths of the content that is hashed, in order."""
    lengths, digest = [], hpcml.data.call_data.digest
    for module in (hpcml.data.call_data, hpcml.data.digests):
        monkeypatch.setattr(module, "digest", lambda data: lengths.append(len(data)) or digest(data))
    return lengths


@pytest.mark.parametrize(
    "layout",
    [lambda x: x, np.asfortranarray, lambda x: x[:, ::2], lambda x: x.view("M8[s]")],
    ids=["C", "Fortran", "strided", "dates"],
)
def test_an_array_is_hashed_once_in_each_call(layout, store, hashed, tmp_path):
    array = layout(np.arange(4000.0).reshape(40, 100))
    for call in range(3):
        data = CallData(store, LIMIT)
        for task in range(50):
            pack(data, ([array], {"task": task}))
        assert hashed == [array.nbytes] * (call + 1)
    assert len(files(tmp_path)) == 1


def test_frames_and_memmaps_are_hashed_once_in_a_call(store, hashed, tmp_path):
    memmap = np.memmap(tmp_path / "memmap", dtype="f8", mode="w+", shape=(100, 10))
    frame = pd.DataFrame(np.ones((100, 30)))
    columns = frame[frame.columns[:5]]
    data = CallData(store, LIMIT)
    for _ in range(20):
        pack(data, [memmap, frame, columns])
    assert len(hashed) <= 3


def test_equal_content_is_one_file_whichever_object_holds_it(store, tmp_path):
    array = np.arange(1000.0)
    twin = array.copy()
    pack(CallData(store, LIMIT), [array, twin, array.reshape(10, 100), {"list": [twin]}, array.view("i8")])
    pack(CallData(store, LIMIT), twin)
    assert len(files(tmp_path)) == 1


def test_changed_content_is_staged_by_the_next_call_and_the_old_file_is_removed(store, tmp_path):
    array = np.zeros(1000)
    first = pack(CallData(store, LIMIT), array)
    array[17] = 1.0
    second = pack(CallData(store, LIMIT), array)
    for packed, expected in ((first, 0.0), (second, 1.0)):
        assert loads_function(pickle.loads(pickle.dumps(packed)))[0][17] == expected
    del packed, first  # the task that needed the old content is done
    assert len(files(tmp_path)) == 1
    assert loads_function(pickle.loads(pickle.dumps(second)))[0][17] == 1.0


def test_all_content_taken_out_of_one_pickle_is_one_file(store, tmp_path):
    arrays = [np.full(1000 + n, float(n)) for n in range(300)]
    packed = pack(CallData(store, LIMIT), [arrays, b"x" * 300_000])
    assert len(files(tmp_path)) == 1
    got, content = loads_function(pickle.loads(pickle.dumps(packed)))[0]
    assert content == b"x" * 300_000
    for n, array in enumerate(got):
        assert np.array_equal(array, arrays[n])
        assert array.ctypes.data % 64 == 0
    new = pack(CallData(store, LIMIT), [*arrays[:5], np.zeros(5000)])  # only what is new is written
    assert len(new.buffers) == 6
    assert sorted(path.stat().st_size for path in files(tmp_path))[0] == 40_000


def test_content_that_could_not_be_staged_is_staged_by_the_next_pack(tmp_path):
    place = tmp_path / "place"
    data, array = CallData(Store(LocalStaging([str(place)])), LIMIT), np.arange(1000.0)
    with pytest.raises(DataError):
        pack(data, array)
    place.mkdir()
    assert np.array_equal(loads_function(pickle.loads(pickle.dumps(pack(data, array))))[0], array)


def test_chunks_that_are_made_one_by_one_do_not_pile_up(store, tmp_path):
    data = CallData(store, LIMIT)
    for n in range(20):
        packed = pack(data, (np.full(1000, float(n)), bytes([n]) * 200_000))
        array, content = loads_function(pickle.loads(pickle.dumps(packed)))[0]
        assert (array == n).all()
        assert content == bytes([n]) * 200_000
        assert len(files(tmp_path)) <= 4


SMALL = 1 << 19  # bytes of an array below the limit of 1 MB


def test_a_small_array_that_is_sent_often_is_staged_and_can_be_written(store, tmp_path):
    array = np.arange(SMALL // 8)
    data = CallData(store, 1 << 20)
    carried = [pickle.dumps(pack(data, [array, {"task": task}])) for task in range(20)]
    lengths = [len(one) for one in carried]
    assert lengths[0] > SMALL
    assert lengths[1] > SMALL
    assert lengths[2] > SMALL
    assert max(lengths[3:]) < 1000
    assert len(files(tmp_path)) == 1
    for task, one in enumerate(carried):
        for _ in range(2):  # a second call of the same frame does not see the writes of the first
            got, about = loads_function(pickle.loads(one))[0]
            assert about == {"task": task}
            assert np.array_equal(got, array)
            got[:] = 0
    later = CallData(store, 1 << 20)
    sent_whole = [len(pickle.dumps(pack(later, array))) > SMALL for _ in range(2)]
    assert sent_whole == [True, False]  # the second is staged already
    del later, array, data
    assert not files(tmp_path)


def test_a_buffer_that_is_refilled_during_a_call_is_sent_as_it_is(store):
    buffer = np.zeros(SMALL // 8)
    data = CallData(store, 1 << 20)
    carried = []
    for task in range(10):
        buffer[:] = task // 4
        carried.append(pickle.dumps(pack(data, buffer)))
    for task, one in enumerate(carried[8:], 8):
        assert (loads_function(pickle.loads(one))[0] == task // 4).all()
    assert min(map(len, carried)) < 1000


def test_a_small_buffer_that_is_refilled_before_it_is_sent_arrives_as_it_was(store):
    buffer = np.zeros(SMALL // 8)
    data = CallData(store, 1 << 20)
    for _ in range(3):
        Packer(data).pack(buffer)
    packed = Packer(data).pack(buffer)
    buffer[:] = 1.0
    data.stage()
    assert len(pickle.dumps(packed)) < 1000
    assert not loads_function(pickle.loads(pickle.dumps(packed)))[0].any()


def test_a_small_array_in_a_function_of_many_tasks_is_staged(store, tmp_path):
    data = CallData(store, 1 << 20)
    array = np.arange(SMALL // 8)
    packed, _ = Packer(data).pack_function(lambda: array[-1], sends=1000)
    data.stage()
    assert len(pickle.dumps(packed)) < 2000
    assert loads_function(pickle.loads(pickle.dumps(packed)))[0]() == array[-1]


def test_without_a_limit_nothing_is_staged_however_often_it_is_sent(store, tmp_path):
    data = CallData(store, None)
    for _ in range(10):
        Packer(data).pack_function(np.arange(SMALL // 8), sends=1000)
        data.stage()
    assert not files(tmp_path)


def test_the_name_of_the_file_is_sent_in_place_of_the_array(store, tmp_path):
    packed = pack(CallData(store, LIMIT), np.arange(1000.0))
    (part,) = pickle.loads(pickle.dumps(packed)).buffers
    assert isinstance(part, DataPart)
    assert (part.offset, part.nbytes) == (0, 8000)
    assert Path(part.file.path) == files(tmp_path)[0]
