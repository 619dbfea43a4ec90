"""Worker steps and slurmds that end during a search: they are restarted, and the running tasks repeat."""

import os
import signal
import subprocess
import time

import pytest
from patience import patient, wait_until
from searches import SLOTS, Calls, assert_equal


def kill_srun(cluster):
    """Kill the srun of the workers; it has a child, which ends the step."""
    found = [p.pid for p in cluster.processes("login") if "--job-name=hpcml-workers" in p.argv]
    os.kill(min(found), signal.SIGKILL)


def cancel_step(cluster):
    lines = cluster.run(["squeue", "--steps", "--noheader", "--format=%i %j"], check=True).stdout.splitlines()
    (step,) = [line.split()[0] for line in lines if "hpcml-workers" in line]
    cluster.run(["scancel", step], check=True)


@pytest.mark.release("22.05")
@pytest.mark.parametrize("harm", [kill_srun, cancel_step], ids=["srun is killed", "scancel of the step"])
def test_a_step_that_ends_is_restarted(cluster, expected_calls, harm):
    search = Calls(cluster, seconds=0.4).start()
    search.wait_ended(60)
    ended = time.time()
    harm(cluster)
    assert_equal(search.finish(f"the step ends, {harm.__name__}"), expected_calls)
    assert search.lost == 0
    assert search.repeated <= 2 * SLOTS  # a worker has its next fit already
    early = {event[0] for event in search.events("end") if event[-1] < ended - 1}
    assert not early & {event[0] for event in search.repeats(after=ended)}
    assert search.errors.count("the workers' step ended with status") == 1
    before = {event[1:3] for event in search.events("begin") if event[-1] < ended}
    back = [event for event in search.events("begin") if event[1:3] not in before]
    assert {event[1] for event in back} == {"n1", "n2", "n3"}
    print(f"the first fit of another worker began {min(event[-1] for event in back) - ended:.1f} s after the end")


@pytest.mark.release("24.11")
def test_a_restart_of_slurmd_repeats_no_task(cluster, expected_calls):
    """Slurm's steps outlive their slurmd: slurmstepd is a process of its own, to which srun is connected."""
    search = Calls(cluster, seconds=0.4).start()
    search.wait_ended(40)
    (daemon,) = [p for p in cluster.all_processes("n2") if p.argv[:1] == ("slurmd",)]
    os.kill(daemon.pid, signal.SIGKILL)
    wait_until(lambda: daemon not in cluster.all_processes("n2"))
    command = cluster.node_command("n2", ["slurmd", "-N", "n2"])
    subprocess.run(command, env=cluster.environment(), check=True, timeout=patient(20))
    assert_equal(search.finish("slurmd anew"), expected_calls)
    assert (search.lost, search.repeated) == (0, 0)
    assert "ended" not in search.errors


@pytest.mark.release("24.11")
def test_a_step_that_ends_with_its_node_is_restarted_without_that_node(cluster, expected_calls):
    """A step with a lost node does not begin: the other nodes are started again without it."""
    search = Calls(cluster, seconds=0.4).start("--no-kill")
    search.wait_ended(60)
    ended = time.time()
    cluster.kill_node("n3")
    kill_srun(cluster)
    assert_equal(search.finish("the step ends and a node is lost", timeout=150), expected_calls)
    assert search.lost == 0
    assert search.repeated <= 2 * SLOTS
    assert {event[1] for event in search.events("begin") if event[-1] > ended + 2} == {"n1", "n2"}
