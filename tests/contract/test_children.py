"""Pools within tasks: they end with their worker, and leave no file in /dev/shm."""

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from joblib import Parallel, delayed

import hpcml


def inner(array, directory):
    (Path(directory) / str(os.getpid())).touch()
    end = time.monotonic() + 300
    while "hold" in directory and time.monotonic() < end:
        time.sleep(0.05)
    return float(array[0])


def nested(directory):
    """Return results of a pool of two processes, which share a memory map."""
    array = np.ones(300_000)
    return Parallel(n_jobs=2, backend="loky")(delayed(inner)(array, directory) for _ in range(4))


def shared_files(parents):
    """Return the files of these processes in /dev/shm, where other programs have files too."""
    names = tuple(f"{name}{parent}" for parent in parents for name in ("sem.loky-", "joblib_memmapping_folder_"))
    return [path.name for path in Path("/dev/shm").iterdir() if path.name.startswith(names)]


def wait_until(true, seconds=120):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.1)


def started(directory):
    return [int(path.name) for path in directory.iterdir()]


def gone(processes):
    return not any(Path(f"/proc/{process}").exists() for process in processes)


@pytest.mark.parametrize(
    ("engine", "how"),
    [
        ("local", "done"),
        ("local", "hold"),
        ("ipyparallel", "done"),
        ("ipyparallel", "hold"),
        ("ipyparallel", "hold, killed"),
    ],
)
def test_a_pool_in_a_task_leaves_no_process_and_no_file(engine, how, tmp_path):
    """The pool has ended, or works when the Cluster is closed, or when its worker is killed."""
    directory = tmp_path / how
    directory.mkdir()
    with hpcml.Cluster(engine, slots_per_node=1, run_dir=tmp_path, progress=False, retries=1) as cluster:
        running = cluster.submit(nested, str(directory))
        if how == "done":
            assert running.result(timeout=240) == [1.0] * 4
        wait_until(lambda: len(started(directory)) == 2)
        (parent,) = parents = {parent_of(process) for process in started(directory)}
        assert shared_files(parents)
        if how == "hold, killed":
            os.kill(parent, signal.SIGKILL)
            assert isinstance(running.exception(timeout=120), hpcml.WorkerDied)
            wait_until(lambda: gone(started(directory)))
        cluster.shutdown(cancel_futures=True)
    wait_until(lambda: gone(started(directory)))
    wait_until(lambda: not shared_files(parents))


def parent_of(process):
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
