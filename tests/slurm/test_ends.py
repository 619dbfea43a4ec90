"""Ends of runs: the fixture finds nothing left of them; and the errors when nodes fail."""

import os
import re
import signal
import time
from pathlib import Path

import pytest
from patience import patient, promised, wait_until

PROGRAMS = Path(__file__).parent / "programs"
SLEEPER = PROGRAMS / "sleeper.py"
WORKERS = PROGRAMS / "workers.py"


def start_sleeper(cluster, *before):
    """Start the sleeper on three nodes, from the login node, and return it when all slots are busy."""
    mark = cluster.shared_dir / "busy"
    process = cluster.popen(["salloc", "--quiet", "-N3", "-n6", *before, SLEEPER, mark])
    wait_until(lambda: mark.exists() or process.poll() is not None)
    assert process.poll() is None, process.communicate()
    return process


def engines(cluster):
    return [p for node in cluster.nodes for p in cluster.processes(node) if "hpcml.engines" in " ".join(p.argv)]


def driver(cluster):
    """Return the process of the sleeper script on the login node."""
    (found,) = [p for p in cluster.processes("login") if str(SLEEPER) in p.argv and "salloc" not in p.argv[0]]
    return found.pid


def wait_for_no_engines(cluster, seconds=15):
    wait_until(lambda: not engines(cluster), seconds, what=lambda: engines(cluster))


@pytest.mark.release("22.05")
def test_ctrl_c_frees_the_workers_and_exits_130(cluster):
    process = start_sleeper(cluster, cluster.python, "-m", "hpcml", "run")
    assert len(engines(cluster)) >= 6
    os.kill(driver(cluster), signal.SIGINT)
    output, errors = process.communicate(timeout=patient(30))
    assert process.returncode == 130, errors
    assert "interrupted" in errors
    wait_for_no_engines(cluster)


def test_a_killed_driver_leaves_no_process_on_any_node(cluster):
    process = start_sleeper(cluster, cluster.python)
    os.kill(driver(cluster), signal.SIGKILL)
    process.communicate(timeout=patient(30))
    wait_for_no_engines(cluster)


def test_scancel_leaves_nothing(cluster):
    mark = cluster.shared_dir / "busy"
    job = cluster.sbatch(f"#!/bin/bash\nexec {cluster.python} {SLEEPER} {mark}", "-N3", "-n6")
    wait_until(mark.exists, what=lambda: cluster.output(job))
    cluster.run(["scancel", str(job)], check=True)
    assert cluster.wait(job).state == "CANCELLED"
    wait_for_no_engines(cluster)


@pytest.mark.release("24.11")
def test_a_script_that_raises_has_its_own_traceback_and_status(cluster):
    script = cluster.write("raises.py", "import sys\nprint('before')\nraise LookupError('lost')\n")
    done = cluster.run(["salloc", "--quiet", "-N2", "-n2", cluster.python, "-m", "hpcml", "run", script])
    assert done.returncode == 1
    assert re.search(r'Traceback \(most recent call last\):\n  File ".*raises.py", line 3', done.stderr)
    assert "LookupError: lost" in done.stderr
    script = cluster.write("leaves.py", "import sys\nsys.exit(7)\n")
    assert (
        cluster.run(["salloc", "-Q", "-N2", "-n2", cluster.python, "-m", "hpcml", "run", script]).returncode == 7
    )


@pytest.mark.release("22.05")
def test_a_node_without_workers_is_named(cluster):
    cluster.freeze_node("n3")
    limit = patient(8)
    began = time.monotonic()
    done = cluster.run(
        ["salloc", "-Q", "-N3", "--ntasks-per-node=2", cluster.python, WORKERS, f"timeout={limit}"], timeout=60
    )
    assert done.returncode != 0
    assert f"of 6 workers came within {limit:.1f} s" in done.stderr
    assert "n3 has no worker, and it sent no message" in done.stderr
    assert "Cluster(min_slots=4)" in done.stderr
    assert time.monotonic() - began < promised(30)
    cluster.thaw_node("n3")


@pytest.mark.release("24.11")
def test_min_slots_starts_without_a_frozen_node(cluster):
    cluster.freeze_node("n3")
    command = [cluster.python, WORKERS, f"timeout={patient(8)}", "min_slots=3"]
    done = cluster.run(["salloc", "-Q", "-N3", "--ntasks-per-node=2", *command], timeout=60)
    cluster.thaw_node("n3")
    assert done.returncode == 0, done.stderr
    assert '"slots": 4' in done.stdout
    assert "Continuing with 4, as min_slots=3 allows" in done.stderr


@pytest.mark.release("22.05")
def test_a_node_whose_python_fails_is_shown_with_its_log(cluster):
    """The worker's interpreter fails on n2 only, as with a broken installation."""
    broken = cluster.write("sitecustomize.py", "import os\nif os.uname().nodename == 'n2':\n    os._exit(9)\n")
    done = cluster.run(
        ["salloc", "-Q", "-N3", "-n3", cluster.python, WORKERS, f"timeout={patient(8)}"],
        env={"PYTHONPATH": str(broken.parent)},
    )
    assert done.returncode != 0
    assert "n2 has no worker" in done.stderr
    assert re.search(r"n2: task 1: Exited with exit code 9", done.stderr)
