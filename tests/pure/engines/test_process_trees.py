"""Processes that tasks have started end with their worker, resource trackers after all others."""

import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from patience import wait_until

from hpcml.engines.descendants import end_trees, halt, process_state

FAMILY = (
    "import subprocess, sys, time\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
    "print(child.pid, flush=True)\n"
    "time.sleep(60)\n"
)


def is_running(process):
    """Return whether there is such a process, and it is no zombie."""
    with suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


@pytest.fixture
def family():
    """Yield a process and the number of its child."""
    with subprocess.Popen([sys.executable, "-c", FAMILY], stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        yield parent, child
        parent.kill()


def wait_for_end(process):
    deadline = time.monotonic() + 30
    while is_running(process) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not is_running(process)


def test_a_process_ends_with_all_below_it(family):
    parent, child = family
    end_trees([parent.pid])
    assert parent.wait(30) == -9
    assert wait_for_end(child)


def test_a_process_that_is_halted_does_nothing_more_and_is_ended(family):
    parent, child = family
    halt([parent.pid])
    wait_until(lambda: process_state(parent.pid) == "T")
    end_trees([parent.pid])
    assert parent.wait(30) == -9
    assert wait_for_end(child)


def test_children_of_others_are_ended_and_own_ones_are_not(family):
    parent, child = family
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as own:
        end_trees([child])
        assert wait_for_end(child)
        assert parent.poll() is None
        assert own.poll() is None
        own.kill()


def test_a_process_that_is_gone_is_no_error():
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    end_trees([process.pid])


def test_orphans_of_a_worker_end():
    code = (
        "import os, subprocess, sys\n"
        "from hpcml.engines.descendants import adopt_orphans, end_orphans\n"
        "adopt_orphans()\n"
        "task = subprocess.Popen([sys.executable, '-c', sys.argv[1]], stdout=subprocess.PIPE, text=True)\n"
        "child = int(task.stdout.readline())\n"
        "task.kill(); task.wait()\n"
        "end_orphans([])\n"
        "print(os.waitpid(child, 0)[1])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, FAMILY], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "9\n"
