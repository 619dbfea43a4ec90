"""Writes of tasks to a `numpy.memmap` are in its file, as in one process: each task opens the map."""

import functools
import os
import socket

import numpy as np
import pytest
import scipy.sparse as sp
from joblib import Parallel, delayed, parallel_config

import hpcml

SHAPE = (10, 40)


@pytest.fixture
def out(tmp_path):
    return np.memmap(tmp_path / "out.dat", dtype="f8", mode="w+", shape=SHAPE)


def fill(out, n):
    out[n] = n + 1


def add_one(view):
    view += 1
    return view.shape, type(view).__name__


def rows(path):
    return np.fromfile(path).reshape(SHAPE)


def test_writes_of_tasks_are_in_the_file(cluster, out):
    with parallel_config("hpcml"):
        Parallel()(delayed(fill)(out, n) for n in range(5))
    list(cluster.map(functools.partial(fill, out), [5, 6]))
    cluster.submit(fill, n=7, out=out).result()
    cluster.submit(lambda: fill(out, 8)).result()  # captured
    assert list(cluster.map(fill, [out], [9])) == [None]
    assert np.array_equal(rows(out.filename)[:, 0], np.arange(1.0, 11))
    assert np.array_equal(out, rows(out.filename))


@pytest.mark.parametrize("nbytes", [8, 200_000, 3_000_000])
@pytest.mark.parametrize("mode", ["w+", "r+"])
def test_maps_of_all_sizes_are_written(mode, nbytes, cluster, tmp_path):
    (tmp_path / "file").write_bytes(bytes(nbytes))
    out = np.memmap(tmp_path / "file", np.uint8, mode, shape=(nbytes,))
    cluster.submit(add_one, out).result()
    assert (tmp_path / "file").read_bytes() == b"\1" * nbytes


VIEWS = {
    "slice": lambda out: out[2:5],
    "array": np.asarray,
    "array of a part": lambda out: np.asarray(out)[3:, 7],
    "transposed": lambda out: out.T,
    "reshaped": lambda out: out.reshape(4, -1),
    "strided": lambda out: out[::3, 1::7],
    "backwards": lambda out: out[::-1, ::-2],
    "other type": lambda out: out.view("i4")[:, ::2],
    "subclass": lambda out: np.asarray(out).view(np.recarray),
    "masked": lambda out: np.ma.masked_array(out[4:6], mask=False),
    "with an offset": lambda out: np.memmap(out.filename, "f8", "r+", offset=16, shape=(3, 7), order="F")[1:],
}


def kind_and_shape(view):
    return type(view), view.dtype, view.shape, view.strides


@pytest.mark.parametrize("name", VIEWS)
def test_views_are_of_the_same_part_of_the_file(name, cluster, tmp_path):
    """The expected content comes from the same operation in this process, on another file."""
    files = []
    for place in ("here", "there"):
        file = np.memmap(tmp_path / place, dtype="f8", mode="w+", shape=SHAPE)
        file[:] = np.arange(file.size).reshape(SHAPE)
        files.append(file)
    here, there = (VIEWS[name](file) for file in files)
    assert cluster.submit(kind_and_shape, there).result() == kind_and_shape(there)
    assert cluster.submit(add_one, there).result() == add_one(here)
    assert np.array_equal(files[1], files[0])
    assert np.array_equal(np.fromfile(tmp_path / "there"), np.fromfile(tmp_path / "here"))


def test_a_task_has_the_map_of_the_same_file(cluster, out):
    """As with joblib's loky (`joblib._memmapping_reducer._strided_from_memmap`), "w+" does not clear the file."""
    out[:] = 7

    def look(out):
        first = float(out[0, 0])
        out[0, 0] = 8
        out.flush()
        return first, out.mode, str(out.filename), out.offset

    assert cluster.submit(look, out).result() == (7.0, "r+", str(out.filename), 0)
    assert rows(out.filename)[0, 0] == 8


@pytest.mark.parametrize("size", [100, 400_000])
def test_a_map_of_mode_c_is_each_tasks_own(size, cluster, tmp_path):
    """The file is unchanged, and a task has the driver's changes of its copy."""
    (tmp_path / "file").write_bytes(bytes(8 * size))
    mine = np.memmap(tmp_path / "file", "f8", "c")
    mine[0] = 5

    def change(array):
        before = float(array[0])
        array += 1
        return before, float(array[0])

    assert [cluster.submit(change, mine).result() for _ in range(2)] == [(5.0, 6.0)] * 2
    assert mine[0] == 5
    assert not any((tmp_path / "file").read_bytes())


@pytest.mark.parametrize("size", [100, 400_000])
def test_a_map_that_is_read_only_is_read_only(size, cluster, tmp_path):
    (tmp_path / "file").write_bytes(bytes(8 * size))
    with pytest.raises(ValueError, match="read-only"):
        cluster.submit(add_one, np.memmap(tmp_path / "file", "f8", "r")).result()


def test_a_returned_map_is_a_map_of_the_same_file(cluster, out):
    def give(out, part):
        out[part] = 3
        return out[part]

    back = cluster.submit(give, out, 3).result()
    assert isinstance(back, np.memmap)
    assert np.array_equal(back, np.full(SHAPE[1], 3.0))
    back[:] = 4
    assert np.array_equal(out[3], np.full(SHAPE[1], 4.0))
    again = cluster.submit(give, np.asarray(back), slice(5, 7)).result()  # a returned map can be sent
    again[:] = 6
    assert out[3, 4:8].tolist() == [4, 6, 6, 4]


def test_a_map_made_by_a_task_is_returned_as_a_map(cluster, tmp_path):
    def make(path):
        made = np.memmap(path, "i8", "w+", shape=(2, 3))
        made[:] = 9
        return made[1]

    back = cluster.submit(make, tmp_path / "made").result()
    assert back.tolist() == [9, 9, 9]
    back[0] = 1
    assert np.fromfile(tmp_path / "made", "i8").tolist() == [9, 9, 9, 1, 9, 9]

    def make_and_remove(path):
        made = make(path)
        os.unlink(path)
        return made

    back = cluster.submit(make_and_remove, tmp_path / "scratch").result()
    assert back.tolist() == [9, 9, 9]
    back[0] = 1
    assert not (tmp_path / "scratch").exists()


def test_maps_within_other_objects_are_written(cluster, out):
    out[0] = 1
    matrix = sp.csr_array((out[0], np.arange(SHAPE[1]), [0, SHAPE[1]]), shape=(1, SHAPE[1]), copy=False)

    def change(matrix, parts):
        matrix.data *= 3
        parts["some"][0][:] = 2

    cluster.submit(change, matrix, {"some": [out[1]]}).result()
    assert (out[0, -1], out[1, -1], out[2, -1]) == (3.0, 2.0, 0.0)


def test_a_broadcast_map_is_sent_as_its_content(cluster, out):
    out[:] = 1
    with cluster.broadcast(np.repeat(out, 500, axis=0)) as large, cluster.broadcast(out) as small:
        out[:] = 2
        assert cluster.submit(lambda: float(large.value[0, 0] + small.value[0, 0])).result() == 2.0


def test_a_missing_file_is_named(cluster, out, tmp_path):
    os.rename(out.filename, tmp_path / "elsewhere")
    with pytest.raises(hpcml.TaskError, match=r"numpy.memmap, .*out.dat, cannot be opened .*No such file"):
        cluster.submit(fill, out, 1)

    os.rename(tmp_path / "elsewhere", out.filename)
    gate = tmp_path / "gate"
    blocked = [cluster.submit(wait_for, gate) for _ in range(cluster.slots)]
    late = cluster.submit(fill, out, 1)
    os.unlink(out.filename)
    gate.touch()
    with pytest.raises(hpcml.DataError, match=rf"out.dat is not on {socket.gethostname()}: .* mode='r'"):
        late.result()
    assert [done.result() for done in blocked] == [None] * len(blocked)


def wait_for(path):
    import time

    end = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_file_without_a_name_is_refused(cluster, tmp_path):
    with open(tmp_path / "file", "w+b", buffering=0) as file:
        opened = os.fdopen(os.dup(file.fileno()), "w+b")
        with opened:
            out = np.memmap(opened, "f8", "w+", shape=(3,))
        with pytest.raises(hpcml.TaskError, match="a file without a name cannot be sent"):
            cluster.submit(fill, out, 1)


def test_a_resumed_run_writes_again(tmp_path):
    """The script creates its file again, so that the writes of its first session must be repeated."""
    run = tmp_path / "run"
    for resume in (False, run):
        options = {"run_dir": run} if not resume else {"resume": run}
        with hpcml.Cluster("local", slots_per_node=2, progress=False, **options) as cluster:
            out = np.memmap(tmp_path / "out.dat", dtype="f8", mode="w+", shape=SHAPE)
            list(cluster.map(fill, [out] * 10, range(10)))
            with parallel_config("hpcml"):
                Parallel()(delayed(fill)(out, n) for n in range(10))
            run = cluster.run_dir
        assert np.array_equal(out[:, 0], np.arange(1.0, 11))
