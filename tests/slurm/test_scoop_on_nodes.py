"""Engine scoop on a real Slurm: workers on all nodes and nowhere else, true exit statuses, nothing left behind.

The fixture checks after each test that nothing is left.
"""

import os
import signal
import time
from pathlib import Path

import pytest
from guarded_runs import attack, listening
from patience import patient, promised
from test_ends import engines, wait_for_no_engines

ROOT = Path(__file__).parents[2]
RASTRIGIN = Path(__file__).parent / "programs/rastrigin.py"

SLEEPER = """\
import os, sys, time
from scoop import futures

def sleep(mark):
    open(f"{mark}-{os.uname().nodename}-{os.getpid()}", "x").close()
    time.sleep(300)

def work(x):
    return x

if __name__ == "__main__":
    list(futures.map(work, range(50)))
    list(futures.map(sleep, [sys.argv[1]] * int(sys.argv[2])))
"""


def command(cluster, *words):
    return [cluster.python, "-m", "hpcml", "run", "--engine", "scoop", "--quiet", *words]


def start_sleeper(cluster, *before):
    """Start a run of six workers, all of them in a task, and return it."""
    script, mark = cluster.write("sleeper.py", SLEEPER), cluster.shared_dir / "busy"
    process = cluster.popen([*before, *command(cluster, script, mark, "6")])
    wait_busy(cluster)
    return process


def wait_busy(cluster):
    end = time.monotonic() + patient(60)
    while len(list(cluster.shared_dir.glob("busy-*"))) < 6:
        assert time.monotonic() < end
        time.sleep(0.1)


def busy_pid(cluster, node):
    """Return a worker of a node, by its process id here."""
    found = engines(cluster)
    names = {path.name.split("-")[1:][1] for path in cluster.shared_dir.glob(f"busy-{node}-*")}
    return next(p.pid for p in cluster.processes(node) if str(p.node_pid) in names and p in found)


def test_the_sbatch_script_runs_cma_es_on_all_nodes(cluster):
    job = cluster.sbatch(ROOT / "sbatch/deap_scoop.sbatch", cwd=ROOT, args=[str(RASTRIGIN)])
    end = cluster.wait(job, timeout=100)
    assert end.state == "COMPLETED", end.output
    assert "size 13 workers n1=4 n2=4 n3=4\nthreads 1 cpus " in end.output
    assert "same True\n" in end.output
    assert f"hpcml: engine scoop, 12 slots on n1, n2, n3 (job {job}), ready in" in end.output


def test_the_sbatch_script_is_short_and_never_sleeps():
    text = (ROOT / "sbatch/deap_scoop.sbatch").read_text()
    assert len(text.splitlines()) <= 10
    assert "sleep" not in text


@pytest.mark.release("24.11")
def test_uneven_nodes_from_the_login_node(cluster):
    done = cluster.run(["salloc", "-Q", "-N3", "-n5", *command(cluster, RASTRIGIN)])
    assert done.returncode == 0, done.stderr
    line = done.stdout.splitlines()[0]
    assert line.startswith("size 6 workers n1=")
    assert sorted(word[-1] for word in line.split()[-3:]) in (["1", "1", "3"], ["1", "2", "2"])


@pytest.mark.release("22.05")
def test_the_exit_status_reaches_slurm(cluster):
    script = "import sys\nfrom scoop import futures\nif __name__ == '__main__':\n    list(futures.map(abs, [1]))\n"
    leaves = cluster.write("leaves.py", f"{script}    sys.exit(7)\n")
    raises = cluster.write("raises.py", f"{script}    raise LookupError('lost')\n")
    jobs = [
        cluster.sbatch(f"#!/bin/bash\nexec {' '.join(command(cluster, str(path)))}", "-N3", "-n3")
        for path in (leaves, raises)
    ]
    ends = [cluster.wait(job) for job in jobs]
    assert [(end.state, end.exit_code) for end in ends] == [("FAILED", 7), ("FAILED", 1)], ends
    assert "LookupError: lost" in ends[1].output


@pytest.mark.release("24.11")
def test_a_worker_that_is_killed_fails_the_run_and_is_named(cluster):
    process = start_sleeper(cluster, "salloc", "-Q", "-N3", "--ntasks-per-node=2")
    began = time.monotonic()
    os.kill(busy_pid(cluster, "n3"), signal.SIGKILL)
    _, errors = process.communicate(timeout=patient(30))
    assert process.returncode == 1
    assert "of n3 ended (signal SIGKILL), and its tasks are lost" in errors
    assert time.monotonic() - began < promised(15)
    wait_for_no_engines(cluster)


@pytest.mark.release("22.05")
def test_a_killed_program_of_a_node_fails_the_run(cluster):
    process = start_sleeper(cluster, "salloc", "-Q", "-N3", "--ntasks-per-node=2", "--no-kill")
    program = min((p.node_pid, p.pid) for p in cluster.processes("n2") if p in engines(cluster))[1]
    os.kill(program, signal.SIGKILL)
    _, errors = process.communicate(timeout=patient(40))
    assert process.returncode == 1
    assert "n2: task 1: Killed" in errors  # printed by srun, which ends the whole step
    wait_for_no_engines(cluster)


@pytest.mark.release("24.11")
def test_a_killed_launching_process_ends_the_run(cluster):
    process = start_sleeper(cluster, "salloc", "-Q", "-N3", "--ntasks-per-node=2")
    found = [p for p in cluster.processes("login") if p.argv and "salloc" not in p.argv[0]]
    (origin,) = [p for p in found if any("sleeper.py" in word for word in p.argv)]
    os.kill(origin.pid, signal.SIGKILL)
    process.communicate(timeout=patient(30))
    wait_for_no_engines(cluster)


@pytest.mark.release("22.05")
def test_scancel_leaves_nothing(cluster):
    script, mark = cluster.write("sleeper.py", SLEEPER), cluster.shared_dir / "busy"
    text = f"#!/bin/bash\nexec {' '.join(map(str, command(cluster, script, mark, '6')))}"
    job = cluster.sbatch(text, "-N3", "--ntasks-per-node=2")
    wait_busy(cluster)
    cluster.run(["scancel", str(job)], check=True)
    assert cluster.wait(job).state == "CANCELLED"
    wait_for_no_engines(cluster)


@pytest.mark.release("24.11")
def test_strangers_cannot_speak_to_a_run(cluster):
    """Strangers without encryption, and with a key of their own; the contract test has one with the public key."""
    script, mark = cluster.write("sleeper.py", SLEEPER), cluster.shared_dir / "busy"
    text = f"#!/bin/bash\nexec {' '.join(map(str, command(cluster, script, mark, '6')))}"
    job = cluster.sbatch(text, "-N3", "--ntasks-per-node=2")
    wait_busy(cluster)
    found = {node: [(address, port) for address, port, _ in listening(cluster, node)] for node in cluster.nodes}
    wanted = {node: {cluster.shape.address(node)} for node in cluster.nodes}
    assert {node: {address for address, _ in pairs} for node, pairs in found.items()} == wanted
    assert {node: len(pairs) for node, pairs in found.items()} == {"n1": 2 + 1 + 2, "n2": 2, "n3": 2}
    (key,) = cluster.shared_dir.glob(".hpcml/*/curve.key")
    public, secret = key.read_text().split()
    file = cluster.shared_dir / "made-by-unpickling"
    cluster.shared_dir.chmod(0o777)
    ports = [pair for pairs in found.values() for pair in pairs]
    order = {"attack": "speak", "ports": ports, "idents": [], "file": str(file), "key": ""}
    with attack(cluster, "n1", **order) as done:
        assert done == {"accepted": 0, "received": 0}
    places = ["/tmp", "/dev/shm", str(cluster.shared_dir)]
    with attack(cluster, "n2", attack="spy", places=places, secrets=[public, secret]) as done:
        assert not done["met"]
        assert done["read"] > 1000
    assert not file.exists()
    assert cluster.job_fields(job)["JobState"] == "RUNNING"
    cluster.run(["scancel", str(job)], check=True)
    cluster.wait(job)
