"""Launchers of engines that end during a run: only the tasks in flight run again."""

import contextlib
import functools
import signal
import time
from collections import Counter
from pathlib import Path

import numpy as np
import psutil
import pytest
from patience import patient, wait_until

import hpcml

SLOTS = 2


def launchers():
    """Return the launchers that this process has started."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error, AttributeError):  # the process or its parent has ended meanwhile
            if "launcher" in "".join(child.cmdline()) and "launcher" not in "".join(child.parent().cmdline()):
                found.append(child)
    return found


def the_launcher():
    """Return the launcher, as soon as there is one."""
    wait_until(lambda: len(launchers()) == 1, what=launchers)
    return launchers()[0]


def note(directory, number):
    """Write a line for the start of a task; return the square of its number a moment later."""
    with open(Path(directory) / "begun", "a") as file:
        file.write(f"{number}\n")
    time.sleep(0.25)  # longer than FRAME_SECONDS, so that each is sent alone
    return number * number


def begun(directory):
    path = Path(directory) / "begun"
    return path.read_text().split() if path.exists() else []


def has_begun(directory, count):
    return len(begun(directory)) >= count


def wait_for_end(process):
    wait_until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)


@pytest.fixture
def cluster(tmp_path):
    options = {"slots_per_node": SLOTS, "run_dir": tmp_path / "run", "progress": False}
    with hpcml.Cluster("ipyparallel", **options, timeout=patient(60)) as opened:
        yield opened
        opened.shutdown(cancel_futures=True)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "terminated"])
def test_launchers_that_end_are_restarted(cluster, tmp_path, caplog, number):
    futures = [cluster.submit(note, tmp_path, n) for n in range(40)]
    settled = {}  # tasks that had ended when a launcher did: number of their starts
    for count in (12, 24):
        wait_until(functools.partial(has_begun, tmp_path, count))
        launcher = the_launcher()
        done = [n for n, future in enumerate(futures) if future.done()]
        settled.update({n: begun(tmp_path).count(str(n)) for n in done})
        launcher.send_signal(number)
        wait_for_end(launcher)
    assert [future.result(patient(60)) for future in futures] == [n * n for n in range(40)]
    counts = Counter(begun(tmp_path))
    assert set(counts) == {str(n) for n in range(40)}
    assert sum(counts.values()) - 40 <= 2 * 2 * SLOTS, counts  # a worker has its next task already
    assert all(counts[str(n)] == times for n, times in settled.items()), (counts, settled)
    assert caplog.text.count("the workers' step ended with status") == 2
    assert cluster.slots == SLOTS


def total(array, scale):
    return float(array.sum()) * scale


def test_data_stays_and_engines_have_new_ids_when_launchers_are_restarted(cluster):
    array, first = np.arange(500_000.0), set(cluster.client.ids)
    assert cluster.submit(total, array, 1).result(patient(60)) == array.sum()
    the_launcher().kill()
    wait_until(lambda: len(set(cluster.client.ids) - first) == SLOTS)
    assert min(set(cluster.client.ids) - first) > max(first)
    assert list(cluster.map(total, [array] * 4, range(4))) == [array.sum() * n for n in range(4)]
    other = np.ones(400_000)
    assert cluster.submit(total, other, 2).result(patient(60)) == 800_000


def test_launchers_that_end_too_often_fail_the_waiting_tasks(cluster, caplog):
    future = cluster.submit(time.sleep, 600)
    for _ in range(4):
        launcher = the_launcher()
        launcher.kill()
        wait_for_end(launcher)
    with pytest.raises(hpcml.EngineError, match="step ended with status"):
        future.result(patient(60))
    assert caplog.text.count("starting another") == 3
