"""Places that users start from: in each, a Cluster has exactly the slots that Slurm granted."""

import json
import os
import pty
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
from patience import patient

PROGRAMS = Path(__file__).parent / "programs"
WORKERS = PROGRAMS / "workers.py"
HPCML = "hpcml.commands.main"


def workers_of(text):
    """Return the output of workers.py, the last line of `text` that is JSON."""
    return json.loads([line for line in text.splitlines() if line.startswith("{")][-1])


def per_node(seen):
    return dict(Counter(worker["node"] for worker in seen["workers"]))


def granted(cluster, *options):
    """Return the number of tasks that srun starts on each node, counted by their prints."""
    done = cluster.run(["srun", *options, "hostname"], check=True)
    return dict(Counter(done.stdout.split()))


SHAPES = [
    ("-N3", "--ntasks-per-node=4"),
    ("-N3", "-n7"),
    ("-N2", "-n2", "-c2"),
    ("-N2",),
    ("-n1",),
]


@pytest.mark.release("22.05")
@pytest.mark.parametrize("shape", SHAPES, ids=" ".join)
def test_salloc_from_the_login_node(cluster, shape):
    done = cluster.run(["salloc", "--quiet", *shape, cluster.python, WORKERS], check=True)
    seen = workers_of(done.stdout)
    assert per_node(seen) == granted(cluster, *shape)
    assert seen["slots"] == len(seen["workers"])
    assert {worker["threads"] for worker in seen["workers"]} == {2 if "-c2" in shape else 1}


def test_sbatch(cluster):
    script = f"#!/bin/bash\nexec {cluster.python} {WORKERS}"
    job = cluster.sbatch(script, "-N3", "-n7")
    end = cluster.wait(job)
    assert end.state == "COMPLETED", end.output
    assert sorted(per_node(workers_of(end.output)).values()) == sorted(granted(cluster, "-N3", "-n7").values())
    assert f"(job {job})" in end.output


def run_in_terminal(cluster, argv, timeout=60):
    """Run a command on the login node with a terminal, and return the terminal's content."""
    ours, theirs = pty.openpty()
    process = cluster.popen(argv, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown, end = b"", time.monotonic() + patient(timeout)
    os.set_blocking(ours, False)
    while time.monotonic() < end:
        try:
            shown += os.read(ours, 65536)
        except BlockingIOError:
            time.sleep(0.05)
        except OSError:  # the terminal is closed: the command has ended
            break
    os.close(ours)
    status = process.wait(timeout=patient(10))
    return status, shown.decode(errors="replace").replace("\r\n", "\n")


def test_srun_pty(cluster):
    """srun gives the terminal to task 0 and starts the other six too; those are refused."""
    _, shown = run_in_terminal(cluster, ["srun", "-N3", "-n7", "--pty", cluster.python, WORKERS, "progress=False"])
    assert sorted(per_node(workers_of(shown)).values()) == sorted(granted(cluster, "-N3", "-n7").values())


@pytest.mark.release("24.11")
def test_srun_pty_shell_inside_salloc(cluster):
    inner = f"test $SLURM_PROCID -gt 0 || {cluster.python} {WORKERS} progress=False"
    outer = f"salloc --quiet -N2 -n5 srun --pty bash -c '{inner}'"
    status, shown = run_in_terminal(cluster, ["script", "--quiet", "--return", "--command", outer, "/dev/null"])
    assert status == 0, shown
    assert sum(per_node(workers_of(shown)).values()) == 5


def test_salloc_with_the_interactive_step(make_cluster):
    cluster = make_cluster(interactive_step=True)
    command = f"{cluster.python} {WORKERS} progress=False; exit\n"
    ours, theirs = pty.openpty()
    process = cluster.popen(
        ["salloc", "--quiet", "-N3", "-n7"], stdin=subprocess.PIPE, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    process.stdin.write(command)
    process.stdin.flush()
    shown, end = b"", time.monotonic() + patient(60)
    while time.monotonic() < end:
        try:
            shown += os.read(ours, 65536)
        except OSError:
            break
    os.close(ours)
    assert process.wait(timeout=patient(10)) == 0, shown
    assert sum(per_node(workers_of(shown.decode())).values()) == 7


@pytest.mark.parametrize("engine", ["ipyparallel", "mpi"])
def test_a_heterogeneous_job(cluster, engine):
    script = "#!/bin/bash\n#SBATCH -N1 -n2 -c1\n#SBATCH hetjob\n#SBATCH -N2 -n2 -c2\n"
    job = cluster.sbatch(script + f"exec {cluster.python} {WORKERS} engine='\"{engine}\"'")
    cluster.wait(job)
    seen = workers_of((cluster.shared_dir / f"slurm-{job}.out").read_text())
    assert sorted(per_node(seen).values()) == [1, 1, 2]
    assert sorted(worker["threads"] for worker in seen["workers"]) == [1, 1, 2, 2]


def test_a_step_on_a_part_of_the_job(cluster):
    script = f"#!/bin/bash\nsrun -N1 -n1 --overlap {cluster.python} {WORKERS} slots_per_node=2"
    end = cluster.wait(cluster.sbatch(script, "-N3", "-n6"))
    assert end.state == "COMPLETED", end.output
    assert list(per_node(workers_of(end.output)).values()) == [2]


def test_a_script_that_srun_starts_many_times_is_refused(cluster):
    done = cluster.run(["srun", "-N3", "-n3", cluster.python, WORKERS])
    assert done.returncode != 0
    assert "srun started this script 3 times" in done.stderr
    assert "without srun before it" in done.stderr


@pytest.mark.release("22.05")
def test_names_that_resolve_to_loopback_do_no_harm(make_cluster):
    cluster = make_cluster(loopback_names=True)
    done = cluster.run(["salloc", "--quiet", "-N3", "-n6", cluster.python, WORKERS], check=True)
    assert sum(per_node(workers_of(done.stdout)).values()) == 6


@pytest.mark.release("24.11")
def test_a_working_directory_that_nodes_do_not_share(cluster):
    """Every node has a /tmp of its own; a run must not need a shared file system."""
    script = f"#!/bin/bash\ncd /tmp && exec {cluster.python} {WORKERS}"
    end = cluster.wait(cluster.sbatch(script, "-N3", "-n6"))
    assert end.state == "COMPLETED", end.output
    assert sum(per_node(workers_of(end.output)).values()) == 6
