"""Handles of broadcast data: shared by tasks of one Cluster, closed with their data."""

import pickle

import numpy as np
import pytest
from packed_data import LIMIT, files, pack

from hpcml.data.broadcast import broadcast
from hpcml.data.call_data import CallData
from hpcml.data.loading import loads_function
from hpcml.data.staging.file_system import LocalStaging
from hpcml.data.staging.store import Store
from hpcml.errors import HpcmlError


def test_a_handle_keeps_its_data_until_it_is_closed(store, tmp_path):
    value = {"array": np.arange(100_000.0), "numbers": list(range(100_000))}
    handle = broadcast(value, store)
    assert handle.value is value
    packed = pack(CallData(store, None), [handle, handle])
    assert len(pickle.dumps(packed)) < 2000
    assert len(files(tmp_path)) == 1  # the array and the pickle of the list
    arrived, again = loads_function(pickle.loads(pickle.dumps(packed)))[0]
    assert arrived is again
    assert arrived.value["numbers"] == value["numbers"]
    assert np.array_equal(arrived.value["array"], value["array"])
    assert not arrived.value["array"].flags.writeable
    assert arrived.value is arrived.value
    handle.close()
    assert len(files(tmp_path)) == 1  # a task that was not sent yet needs the file
    del packed
    assert not files(tmp_path)
    with pytest.raises(HpcmlError, match="handle is closed"):
        _ = handle.value
    with pytest.raises(HpcmlError, match="handle is closed"):
        pack(CallData(store, LIMIT), handle)


def test_a_handle_of_another_cluster_is_refused_at_once(store, tmp_path):
    other = Store(LocalStaging([str(tmp_path)]))
    with pytest.raises(HpcmlError, match="belongs to another Cluster"):
        pack(CallData(other, LIMIT), [broadcast(np.arange(1000.0), store)])


@pytest.mark.parametrize("end", ["del", "with"])
def test_a_handle_removes_its_data_at_its_end(end, store, tmp_path):
    handle = broadcast(np.arange(100_000.0), store)
    assert len(files(tmp_path)) == 1
    if end == "with":
        with handle:
            pass
    else:
        del handle
    assert not files(tmp_path)


def test_a_handle_cannot_be_pickled_outside_of_calls(store):
    with pytest.raises(TypeError, match="is sent to tasks of its Cluster, and nowhere else"):
        pickle.dumps(broadcast(1, store))
