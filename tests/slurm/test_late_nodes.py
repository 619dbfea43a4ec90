"""Nodes in the cloud, which Slurm switches on for a job: they come late, or never."""

import subprocess

import pytest
from patience import patient, wait_until

OPEN = "import hpcml\nwith hpcml.Cluster({options}) as cluster:\n    print(*cluster.hosts, flush=True)\n"
SITE = "query_seconds = 1\n"  # else Slurm is asked once a minute


def start(cluster, options, variables=()):
    """Start a program on the login node that opens a Cluster, its messages in a file."""
    (cluster.shared_dir / "hpcml.toml").write_text(SITE)
    program = cluster.write("open.py", OPEN.format(options=options))
    errors = cluster.shared_dir / "errors"
    home = {"XDG_CONFIG_HOME": str(cluster.shared_dir), "XDG_CACHE_HOME": str(cluster.shared_dir)}
    with errors.open("w") as file:
        words = ["env", *variables, cluster.python, program]
        return cluster.popen(words, env=home, stdout=subprocess.PIPE, stderr=file), errors


@pytest.mark.release("24.11")
def test_a_cluster_waits_for_a_node_that_is_switched_on_for_the_job(make_cluster):
    """A program enters the job from outside, before Slurm starts steps there."""
    cluster = make_cluster(cpus=(2, 2), cloud=("n2",))
    job = cluster.sbatch("sleep 3333", "-N2", "--ntasks-per-node=2")
    wait_until((cluster.state / "resumed.n2").exists)
    assert cluster.job_fields(job)["JobState"] == "CONFIGURING"
    number = {"JOB_ID": job, "JOB_NODELIST": "n[1-2]", "JOB_NUM_NODES": 2, "TASKS_PER_NODE": "2(x2)"}
    variables = [f"SLURM_{name}={value}" for name, value in number.items()]
    process, errors = start(cluster, f"progress=False, timeout={patient(30)}", variables)
    wait_until(lambda: "n2 is powering up" in errors.read_text(), 60, errors.read_text)
    assert f"job {job} waits for its nodes, up to 360 s: n2 is powering up\n" in errors.read_text()
    cluster.boot_node("n2")
    assert process.communicate(timeout=patient(90))[0] == "n1 n2\n", errors.read_text()
    assert process.returncode == 0
    cluster.run(["scancel", str(job)], check=True)


@pytest.mark.release("22.05")
def test_a_node_that_does_not_come_is_named(make_cluster):
    """This release hides nodes that are off: the job is submitted all the same."""
    cluster = make_cluster(cpus=(2, 2), cloud=("n2",), conf={"ResumeTimeout": "5"})
    process, errors = start(cluster, "nodes=2, ntasks_per_node=2, time='5'")
    output = process.communicate(timeout=patient(90))[0]
    messages = errors.read_text()
    assert (output, process.returncode) == ("", 1), messages
    assert "hpcml: job 1: CONFIGURING, its nodes are starting: n2 is powering up\n" in messages
    assert "hpcml: job 1 is dropped: a node failed: n2 is powered off\n" in messages
    assert messages.endswith("this Cluster has no job left:\n    job 1: a node failed: n2 is powered off\n")
