"""Arrays of file maps: those that write to their file are found by their mode, also as views."""

import numpy as np
import pytest

from hpcml.data.map_modes import is_copy_on_write, is_file_map, is_masked_map, map_of, refuse_file_map


@pytest.fixture
def path(tmp_path):
    (tmp_path / "file").write_bytes(bytes(80))
    return tmp_path / "file"


@pytest.mark.parametrize(("mode", "writes", "copies"), [("r", 0, 0), ("r+", 1, 0), ("w+", 1, 0), ("c", 0, 1)])
def test_the_mode_of_a_map_and_of_its_views(mode, writes, copies, path):
    array = np.memmap(path, "f8", mode, shape=(10,))
    for view in (array, array[2:5], np.asarray(array), array.reshape(5, 2).T):
        assert (is_file_map(view), is_copy_on_write(view)) == (bool(writes), bool(copies))
        assert map_of(view) is not None


def test_a_copy_and_a_view_that_is_read_only_write_to_no_file(path):
    array = np.memmap(path, "f8", "r+", shape=(10,))
    assert map_of(array.copy()) is None
    array.flags.writeable = False
    assert not is_file_map(array)


def test_an_empty_view_is_no_file_map(path):
    assert not is_file_map(np.memmap(path, "f8", "r+", shape=(10,))[:0])


def test_a_masked_array_is_no_map_but_its_data_is(path):
    masked = np.ma.MaskedArray(np.memmap(path, "f8", "r+", shape=(10,)), mask=False)
    assert is_masked_map(masked)
    assert not is_file_map(masked)
    assert not is_masked_map(np.ma.MaskedArray(np.zeros(3)))


def test_a_map_that_writes_is_refused(path):
    array = np.memmap(path, "f8", "r", shape=(10,))
    assert refuse_file_map(array) is array
    with pytest.raises(TypeError, match="open it with mode='r'"):
        refuse_file_map(np.memmap(path, "f8", "r+", shape=(10,)))
