"""Races of processes for one model: promotions, saves and deaths; a reader never sees half a version."""

import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from patience import patient

from hpcml.models import ModelStore
from hpcml.models.pointer import KEPT_CHANGES

PROMOTIONS = 250
PROCESSES = 4
DEATHS = 6

BEGIN = """
import sys, numpy
from hpcml.models import ModelStore
store = ModelStore(sys.argv[1])
number = int(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
"""

PROMOTE = f"""{BEGIN}
for turn in range({PROMOTIONS}):
    version = 1 + (turn + number) % 3
    if turn % 5 == 4:
        store.roll_back("a")
    else:
        store.promote("a", version)
"""

SAVE = f"""{BEGIN}
for turn in range(10):
    value = 1000 * number + turn
    store.save("a", {{"w": numpy.full(5000, value)}}, metrics={{"value": value}}, promote=True)
"""


def start(code, store, number):
    words = [sys.executable, "-c", code, str(store.directory), str(number)]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def race():
    """Function that starts programs at once; they end with the test."""
    processes = []

    def begin(code, store, count):
        processes.extend(start(code, store, number) for number in range(count))
        for process in processes:
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        return processes

    yield begin
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
def store(tmp_path):
    return ModelStore(tmp_path / "models")


def assert_whole(model):
    assert model["w"].shape == (5000,)
    assert len(set(model["w"].tolist())) == 1


def test_a_thousand_promotions_at_once(race, store):
    """A reader finds a whole version each time, and the pointer is that of the last change."""
    for value in range(3):
        store.save("a", {"w": np.full(5000, value)}, promote=True)
    processes, reads = race(PROMOTE, store, PROCESSES), 0
    while any(process.poll() is None for process in processes):
        assert_whole(store.load("a"))
        reads += 1
        time.sleep(0.01)
    assert [process.wait(patient(60)) for process in processes] == [0] * PROCESSES
    assert reads > 10
    changes = store.pointer("a").changes
    assert store.pointer("a").version == changes[-1].version
    assert len(changes) == KEPT_CHANGES


def test_saves_at_once_have_numbers_of_their_own(race, store):
    processes = race(SAVE, store, 3)
    while any(process.poll() is None for process in processes):
        for version in store.versions("a") if store.directory.joinpath("a").exists() else []:
            assert_whole(store.load("a", version.version))
    assert [process.returncode for process in processes] == [0] * 3
    versions = store.versions("a")
    assert [one.version for one in versions] == list(range(1, 31))
    values = {one.metrics["value"]: int(store.load("a", one.version)["w"][0]) for one in versions}
    assert values == {1000 * number + turn: 1000 * number + turn for number in range(3) for turn in range(10)}


def test_a_process_that_is_killed_leaves_only_whole_versions(store):
    """The lock of a killed process is free, and its half-written version has no number."""
    code = SAVE.replace("range(10)", "range(10**6)")
    for number in range(DEATHS):
        process = start(code, store, number)
        process.stdout.readline()
        process.stdin.write("go\n")
        process.stdin.flush()
        time.sleep(0.02 * number)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if number > 3:
            assert store.problems("a") == []
            assert_whole(store.load("a"))
    assert store.problems("a") == []
    assert store.save("a", {"w": np.zeros(5000)}, promote=True).version == store.numbers("a")[-1]
