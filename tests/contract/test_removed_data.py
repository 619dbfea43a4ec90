"""Data directories that something removes during a run: the data is staged again, and the run continues."""

import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from joblib import Parallel, delayed, parallel_config

import hpcml

SIZE = 300_000


def used(array):
    """Return the sum of an array, and the directory of its file."""
    total = float(array.sum())
    maps = Path("/proc/self/maps").read_text()
    return total, sorted(set(re.findall(r"/\S*/hpcml-[^/\s]+(?=/)", maps)))


def clear(directory):
    for path in directory.iterdir():
        path.unlink()


HARMS = {
    "directory": shutil.rmtree,
    "files": clear,
    "owner": lambda directory: (directory / "owner").unlink(missing_ok=True),
    "data": lambda directory: [path.unlink() for path in directory.iterdir() if path.stat().st_size > SIZE],
}


@pytest.mark.parametrize("harm", HARMS)
def test_removed_data_is_staged_again(harm, cluster):
    array, other = np.ones(SIZE), np.full(SIZE, 2.0)
    total, (place,) = cluster.submit(used, array).result(timeout=120)
    assert total == SIZE
    HARMS[harm](Path(place))
    assert cluster.submit(used, array).result(timeout=120) == (SIZE, [place])
    HARMS[harm](Path(place))
    assert cluster.submit(used, other).result(timeout=120) == (2 * SIZE, [place])
    HARMS[harm](Path(place))
    with parallel_config("hpcml"):
        found = Parallel()(delayed(used)(one) for one in (array, other, array + 2))
    assert [total for total, _ in found] == [SIZE, 2 * SIZE, 3 * SIZE]
    assert Path(place).stat().st_mode & 0o777 == 0o700


def test_truncated_data_is_an_error_once(cluster):
    """There is no other copy; the next call stages the array again."""
    array = np.full(SIZE, 7.0)
    _, (place,) = cluster.submit(used, array).result(timeout=120)
    for path in Path(place).iterdir():
        if path.stat().st_size > SIZE:
            os.truncate(path, 8)
    with pytest.raises(hpcml.DataError, match="The next call writes it anew"):
        cluster.submit(used, array).result(timeout=120)
    assert cluster.submit(used, array).result(timeout=120)[0] == 7 * SIZE


def test_waiting_tasks_find_their_data_after_a_removal(cluster, tmp_path):
    array = np.ones(SIZE)
    _, (place,) = cluster.submit(used, array).result(timeout=120)
    gate = tmp_path / "gate"
    blocked = [cluster.submit(wait_for, gate) for _ in range(cluster.slots)]
    late = [cluster.submit(used, array * n) for n in (1, 2, 3)]
    shutil.rmtree(place)
    gate.touch()
    assert [one.result(timeout=120)[0] for one in late] == [SIZE, 2 * SIZE, 3 * SIZE]
    assert [one.result() for one in blocked] == [None] * len(blocked)


def wait_for(path):
    import time

    end = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_handle_can_be_used_after_a_removal(cluster):
    _, (place,) = cluster.submit(used, np.ones(SIZE)).result(timeout=120)
    with cluster.broadcast(np.full(SIZE, 3.0)) as handle:
        shutil.rmtree(place)
        assert cluster.submit(lambda: float(handle.value.sum())).result(timeout=120) == 3 * SIZE


@pytest.mark.parametrize("engine", ["local", "ipyparallel"])
def test_directories_that_were_made_again_are_removed_at_the_end(engine, tmp_path):
    """Also with a data_dir of the user's, which is made again as well."""
    own = tmp_path / "own"
    own.mkdir()
    places = set()
    with hpcml.Cluster(engine, slots_per_node=1, run_dir=tmp_path, data_dir=own, progress=False) as cluster:
        for n in (1, 2):
            total, (place,) = cluster.submit(used, np.full(SIZE, float(n))).result(timeout=120)
            assert (total, Path(place).parent) == (n * SIZE, own)
            places.add(place)
            shutil.rmtree(own)
        assert cluster.submit(used, np.full(SIZE, 5.0)).result(timeout=120)[0] == 5 * SIZE
        assert len(list(own.iterdir())) == 1
    assert len(places) == 1
    assert not list(own.iterdir())


def test_workers_are_replaced_after_a_cleaner(cluster, tmp_path):
    """Workers of ipyparallel need a directory of their own."""
    directories = [path for path in Path("/tmp").glob("hpcml-*") if path.is_dir()]
    for path in directories:
        if cluster.submit(profile).result(timeout=120) == str(path):
            shutil.rmtree(path)
    mark = tmp_path / "mark"
    assert cluster.submit(die, str(mark)).result(timeout=120) == "survived"


def profile():
    import os

    return os.environ.get("IPYTHONDIR", "")


def die(path):
    import os
    import signal

    if not os.path.exists(path):
        open(path, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return "survived"
