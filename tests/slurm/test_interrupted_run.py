"""A run of tests that is interrupted, terminated or killed leaves no cluster behind."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import cluster_ns as ns
import pytest
from cluster_view import state_root
from patience import patient, wait_until

pytestmark = pytest.mark.release("22.05")
FILE = Path(__file__).parent / "test_slurm_cluster.py"
TEST = "test_a_job_of_higher_priority_sends_others_back_to_the_queue"  # it takes a while


@pytest.fixture
def state(monkeypatch):
    """Directory for the clusters of a run of tests."""
    place = state_root() / f"interrupted-{os.getpid()}"
    place.mkdir(parents=True)
    yield place
    shutil.rmtree(place)


def processes(state):
    """Return the processes of clusters in a directory."""
    marker = f"{ns.MARKER}={state}".encode()
    return [pid for pid in ns.all_pids() if any(word.startswith(marker) for word in ns._environ(pid))]


def mounts(state):
    return [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(state) in line]


@pytest.mark.parametrize(("number", "workers"), [(signal.SIGINT, 0), (signal.SIGTERM, 0), (signal.SIGKILL, 1)])
def test_a_run_that_is_interrupted_leaves_no_cluster(release, state, number, workers):
    environment = os.environ | {"HPCML_TEST_STATE": str(state), "HPCML_TEST_RELEASES": release}
    options = ["-q", "-p", "no:cacheprovider", f"--numprocesses={workers}"]
    command = [sys.executable, "-m", "pytest", *options, f"{FILE}::{TEST}"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, start_new_session=True) as run:
        try:
            # The nodes are being booted: some exist, others do not.
            wait_until(lambda: list(state.glob("*/log/node.n1.out")) or run.poll() is not None)
            assert run.poll() is None, run.stdout.read().decode()
            assert len(processes(state)) > 2
            if number == signal.SIGINT:  # as a terminal does: to all processes of the run
                os.killpg(run.pid, number)
            else:
                run.send_signal(number)
            wait_until(lambda: not [*state.iterdir(), *processes(state)], what=lambda: processes(state))
            assert run.wait(patient(30)) != 0
            assert not mounts(state)
        finally:
            run.kill()
