"""Staging in the directories of nodes and on a shared file system; full and missing directories."""

import logging
import os
import pickle

import numpy as np
import pytest
from packed_data import LIMIT, files, pack

from hpcml.data.call_data import CallData
from hpcml.data.loading import loads_function
from hpcml.data.staging.file_system import LocalStaging, SharedStaging
from hpcml.data.staging.store import Store
from hpcml.errors import DataError


@pytest.mark.skipif(os.getuid() != 0, reason="a file system of 1 MB is mounted, which needs root")
def test_a_full_place_falls_back_with_one_warning_and_a_full_last_place_is_an_error(tmp_path, small_mount, caplog):
    first, second = small_mount("first", "1m"), small_mount("second", "2m")
    store = Store(LocalStaging([str(first), str(second)]))
    with caplog.at_level(logging.WARNING, "hpcml"):
        kept = [pack(CallData(store, LIMIT), np.full(600_000, n, "i1")) for n in range(3)]
    assert [len(files(place)) for place in (first, second)] == [1, 2]
    (warning,) = caplog.messages
    assert f"no room for 600,000 bytes of data in {first}: No space left on device; using {second}" in warning
    with pytest.raises(DataError, match="3,000,000 bytes of data cannot be put on the nodes") as caught:
        pack(CallData(store, LIMIT), np.zeros(3_000_000, "i1"))
    for place in (first, second):
        assert f"{place}: No space left on device" in str(caught.value)
    assert [len(files(place)) for place in (first, second)] == [1, 2]  # nothing half-written stays
    del kept


def test_a_missing_directory_is_an_error(tmp_path):
    store = Store(LocalStaging([str(tmp_path / "gone")]))
    with pytest.raises(DataError, match=r"gone: No such file or directory\nName another directory that you can"):
        pack(CallData(store, LIMIT), np.arange(1000.0))


def test_a_shared_file_system_holds_one_file_and_nodes_link_to_it(tmp_path):
    shared, node = tmp_path / "shared", tmp_path / "node"
    shared.mkdir()
    node.mkdir()
    removed: list[str] = []
    store = Store(SharedStaging(str(shared), str(node), removed.append))
    array = np.arange(1000.0)
    packed = pack(CallData(store, LIMIT), array)
    assert np.array_equal(loads_function(pickle.loads(pickle.dumps(packed)))[0], array)
    (file,) = files(shared)
    (link,) = [path for path in files(node) if path.is_symlink()]
    assert link.readlink() == file
    del packed, array
    assert not files(shared)
    assert removed == [str(link)]
