"""The program that holds the engines of a computer ends in the midst of a run: only what was in flight repeats."""

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
        with contextlib.suppress(psutil.Error, AttributeError):  # it has ended meanwhile, or its parent has
            if "launcher" in "".join(child.cmdline()) and "launcher" not in "".join(child.parent().cmdline()):
                found.append(child)
    return found


def the_launcher():
    """Return the launcher, as soon as there is one."""
    wait_until(lambda: len(launchers()) == 1, what=launchers)
    return launchers()[0]


def note(directory, number):
    """Write down that a task has begun, and return its square a moment later."""
    with open(Path(directory) / "begun", "a") as file:
        file.write(f"{number}\n")
    time.sleep(0.25)  # longer than FRAME_SECONDS: each is sent alone
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
def test_launchers_that_end_are_started_again(cluster, tmp_path, caplog, number):
    futures = [cluster.submit(note, tmp_path, n) for n in range(40)]
    settled = {}  # what had ended when a launcher did, and how often it had begun
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


def test_data_is_where_it_was_and_engines_have_new_ids_when_launchers_are_started_again(cluster):
    array, first = np.arange(500_000.0), set(cluster.client.ids)
    assert cluster.submit(total, array, 1).result(patient(60)) == array.sum()
    the_launcher().kill()
    wait_until(lambda: len(set(cluster.client.ids) - first) == SLOTS)
    assert min(set(cluster.client.ids) - first) > max(first)
    assert list(cluster.map(total, [array] * 4, range(4))) == [array.sum() * n for n in range(4)]
    other = np.ones(400_000)
    assert cluster.submit(total, other, 2).result(patient(60)) == 800_000


def test_launchers_that_end_again_and_again_fail_what_waits(cluster, caplog):
    future = cluster.submit(time.sleep, 600)
    for _ in range(4):
        launcher = the_launcher()
        launcher.kill()
        wait_for_end(launcher)
    with pytest.raises(hpcml.EngineError, match="step ended with status"):
        future.result(patient(60))
    assert caplog.text.count("starting another") == 3
