"""Programs of a node that are stopped: they are continued, once they were stopped for some looks."""

import signal
import subprocess
import time

import pytest
from patience import patient, wait_until

from hpcml.engines.descendants import process_state
from hpcml.engines.nodes import stopped


@pytest.fixture
def process():
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait(patient(20))


def test_a_stopped_program_is_continued(process, monkeypatch):
    monkeypatch.setattr(stopped, "LOOK_SECONDS", 0.02)
    continued = stopped.Continued(process.pid)
    process.send_signal(signal.SIGSTOP)
    wait_until(lambda: process_state(process.pid) == "T")
    looks = []
    wait_until(lambda: looks.append(continued.look()) or looks[-1])
    wait_until(lambda: process_state(process.pid) == "S")
    time.sleep(0.1)
    assert not continued.look()


def test_a_program_that_runs_is_left_alone(process, monkeypatch):
    monkeypatch.setattr(stopped, "LOOK_SECONDS", 0.0)
    continued = stopped.Continued(process.pid)
    assert not any(continued.look() for _ in range(10))
