"""Ranks of `hpcml run --engine torch` on three nodes: their places, their ends, the end of their job."""

import json
import os
import signal
from pathlib import Path

import pytest
from patience import patient, wait_until
from rank_checks import assert_network, assert_places

PROGRAM = Path(__file__).parent / "programs" / "env_ranks.py"
HET = "#SBATCH --ntasks=1 --nodelist=n1\n#SBATCH hetjob\n#SBATCH --nodes=2 --ntasks=3 --nodelist=n[2-3]"


def job_text(cluster, options="", action="end", header=""):
    command = f"{cluster.python} -m hpcml run --engine torch {options} {PROGRAM} {action}"
    return f"#!/bin/bash\n{header}\nexec {command}\n"


def worlds(output):
    """Return the variables of all ranks, for each start."""
    return [json.loads(line) for line in output.splitlines() if line.startswith("[{")]


def assert_world(ranks, hosts):
    assert_places(ranks, hosts, same=["TORCHELASTIC_RESTART_COUNT"])
    assert all(rank["LOCAL_RANK"] == rank["SLURM_LOCALID"] for rank in ranks)


@pytest.mark.release("22.05")
def test_uneven_nodes_whose_own_names_are_at_loopback(make_cluster):
    cluster = make_cluster(cpus=(4, 2, 1), loopback_names=True, gpus=2)
    header = "#SBATCH --gpus-per-node=2"
    end = cluster.wait(cluster.sbatch(job_text(cluster, header=header), "-N3", "-n7"), timeout=90)
    assert end.state == "COMPLETED", end.output
    (ranks,) = worlds(end.output)
    assert_world(ranks, ["n1"] * 4 + ["n2"] * 2 + ["n3"])
    assert_network(cluster, ranks, "n1")
    assert {rank["OMP_NUM_THREADS"] for rank in ranks} == {"1"}
    assert {rank["CUDA_VISIBLE_DEVICES"] for rank in ranks} == {"0,1"}, "each rank sees all GPUs of its node"
    assert "engine torch, 7 ranks on n1, n2, n3" in end.output


def test_a_heterogeneous_job_is_one_world(cluster):
    job = cluster.sbatch(job_text(cluster, header=HET))
    state = cluster.wait(job, timeout=90).state
    output = (cluster.shared_dir / f"slurm-{job}.out").read_text()
    assert state == "COMPLETED", output
    (ranks,) = worlds(output)
    assert_world(ranks, ["n1", "n2", "n2", "n3"])
    assert_network(cluster, ranks, "n1")


@pytest.mark.release("22.05")
def test_a_dead_rank_ends_all_and_a_restart_is_a_new_world(cluster):
    """The other ranks do not heed SIGTERM."""
    text = job_text(cluster, "--restarts 1", "3:SIGKILL")
    end = cluster.wait(cluster.sbatch(text, "-N3", "--ntasks-per-node=2"), timeout=90)
    assert end.state == "COMPLETED", end.output
    first, second = worlds(end.output)
    assert first[0]["MASTER_PORT"] != second[0]["MASTER_PORT"]
    assert {rank["TORCHELASTIC_RESTART_COUNT"] for rank in second} == {"1"}
    assert [rank["node"] for rank in second] == ["n1", "n1", "n2", "n2", "n3", "n3"]
    assert "hpcml: rank 3 of 6, on n2, was ended by SIGKILL" in end.output
    assert "restart 1 of 1" in end.output


def test_the_status_of_a_job_is_that_of_the_rank_that_failed(cluster):
    end = cluster.wait(cluster.sbatch(job_text(cluster, "", "1:7"), "-N2", "-n2"))
    assert (end.state, end.exit_code) == ("FAILED", 7), end.output
    assert "hpcml: rank 1 of 2, on n2, ended with exit status 7" in end.output
    assert "*** STEP" not in end.output, "messages of Slurm are in the log"


@pytest.mark.release("24.11")
def test_a_job_goes_back_to_the_queue_before_its_time_is_over(cluster):
    text = f"""#!/bin/bash
action=wait
[ "${{SLURM_RESTART_COUNT:-0}}" = 0 ] || action=end
{job_text(cluster, "--requeue", "$action").partition(chr(10))[2]}"""
    job = cluster.sbatch(text, "-N2", "-n2", "--time=1", "--requeue", "--open-mode=append")
    end = cluster.wait(job, timeout=150)
    assert end.state == "COMPLETED", end.output
    assert len(worlds(end.output)) == 2, end.output
    assert "the time of the job is over: the ranks get SIGTERM" in end.output
    assert f"job {job} goes back to the queue" in end.output


@pytest.mark.release("22.05")
def test_a_killed_command_on_the_login_node_leaves_nothing_on_the_nodes(cluster):
    command = [cluster.python, "-m", "hpcml", "run", "--engine", "torch", PROGRAM, "wait"]
    process = cluster.popen(["salloc", "--quiet", "-N2", "-n2", *command])
    assert worlds(process.stdout.readline())
    (found,) = [one for one in cluster.processes("login") if "torch" in one.argv and "salloc" not in one.argv[0]]
    os.kill(found.pid, signal.SIGKILL)
    process.communicate(timeout=patient(60))
    wait_until(lambda: not any(cluster.processes(node) for node in cluster.nodes), 20)


@pytest.mark.release("24.11")
def test_a_lost_node_ends_the_ranks_and_is_named(cluster):
    job = cluster.sbatch(job_text(cluster, "", "wait"), "-N3", "-n3", "--no-kill")
    wait_until(lambda: worlds(cluster.output(job)))
    cluster.kill_node("n3")
    cluster.wait_state(job, "COMPLETING", "FAILED", timeout=120)  # Slurm waits for the node
    assert "hpcml: rank 2 of 3, on n3, is lost: nothing has come from that node for 20 s" in cluster.output(job)


@pytest.mark.release("22.05")
@pytest.mark.parametrize("first", ["nothing comes from the node", "a rank of another node fails"])
def test_a_restart_goes_on_without_a_lost_node(first, cluster):
    """All ranks wait for ever in the first start, and none in the next. The job ends when the node is back."""
    text = job_text(cluster, "--restarts 1 --min-slots 2", "9:0")
    job = cluster.sbatch(text, "-N3", "-n3", "--no-kill")
    wait_until(lambda: worlds(cluster.output(job)))
    cluster.kill_node("n2")
    if first.startswith("a rank"):
        (rank,) = [one for one in cluster.processes("n3") if str(PROGRAM) in one.argv[1:2]]
        os.kill(rank.pid, signal.SIGKILL)
    wait_until(lambda: len(worlds(cluster.output(job))) == 2, 120, lambda: cluster.output(job))
    cluster.boot_node("n2")
    end = cluster.wait(job, timeout=60)
    assert end.state == "COMPLETED", end.output
    second = worlds(end.output)[1]
    assert_world(second, ["n1", "n3"])
    assert {rank["TORCHELASTIC_RESTART_COUNT"] for rank in second} == {"1"}
    assert "hpcml: without n2: 2 ranks, as --min-slots=2 allows" in end.output


@pytest.mark.release("24.11")
def test_a_node_that_srun_does_not_reach_is_named_with_what_to_type(cluster):
    text = job_text(cluster, header="until [ -e go ]; do sleep 0.1; done")
    job = cluster.sbatch(text, "-N3", "-n3", "--no-kill")
    cluster.wait_state(job, "RUNNING")
    cluster.kill_node("n3")
    (cluster.shared_dir / "go").touch()
    cluster.wait_state(job, "COMPLETING", "FAILED", timeout=120)
    assert "srun has no answer from n3. To run the ranks of the other nodes: --min-slots=2" in cluster.output(job)
