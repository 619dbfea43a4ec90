"""Variables of ranks on three nodes, compared with srun and scontrol; the ranks talk through MASTER_PORT."""

import importlib.util
import json
import re
from pathlib import Path

import pytest
from patience import patient
from rank_checks import assert_network, assert_places

PROGRAM = Path(__file__).parent / "programs" / "ranks.py"
SECONDS = 60
STEPS = 8
HET = "#SBATCH --ntasks=1 --nodelist=n1\n#SBATCH hetjob\n#SBATCH --nodes=2 --ntasks=3 --nodelist=n[2-3]"


def job_text(cluster, launch, header="", nodelist="$SLURM_JOB_NODELIST"):
    """Return a job that prints its nodes, the host of each rank of `launch`, and what its ranks found."""
    words = f"env PATH=/nowhere {cluster.python} {PROGRAM} {patient(SECONDS)}"  # ranks need no command of Slurm
    return f"""#!/bin/bash
{header}
echo nodes $(scontrol show hostnames "{nodelist}")
{launch} --label hostname
echo ended
exec {launch} {words}
"""


def run_job(cluster, text, *options):
    """Run a job; return its nodes, the host of each rank, and the variables of each rank."""
    job = cluster.sbatch(text, *options, cwd=cluster.shared_dir)
    state = cluster.wait(job, timeout=90).state
    output = (cluster.shared_dir / f"slurm-{job}.out").read_text()
    assert state == "COMPLETED", output
    (nodes,) = re.findall(r"^nodes (.*)$", output, re.M)
    labels = dict(re.findall(r"^ *(\d+): (\S+)$", output.partition("\nended\n")[0], re.M))
    hosts = [labels[str(rank)] for rank in range(len(labels))]
    return nodes.split(), hosts, json.loads(output.splitlines()[-1])


@pytest.mark.release("24.11")
@pytest.mark.parametrize("launch", ["srun --mpi=none", "srun --mpi=pmix", "srun --mpi=pmi2 --distribution=cyclic"])
def test_ranks_of_a_step_have_the_places_that_srun_gives(cluster, launch):
    nodes, hosts, ranks = run_job(cluster, job_text(cluster, launch), "-N3", "-n7")
    assert_places(ranks, hosts, nodes)
    assert_network(cluster, ranks, hosts[0])
    assert list((cluster.shared_dir / ".hpcml").iterdir()) == []


@pytest.mark.release("22.05")
def test_uneven_nodes_whose_own_names_are_at_loopback(make_cluster):
    cluster = make_cluster(cpus=(2, 2, 1), loopback_names=True)
    nodes, hosts, ranks = run_job(cluster, job_text(cluster, "srun"), "-N3", "-n5")
    assert hosts == ["n1", "n1", "n2", "n2", "n3"]
    assert_places(ranks, hosts, nodes)
    assert_network(cluster, ranks, "n1")
    assert {rank["OMP_NUM_THREADS"] for rank in ranks} == {"1"}


def test_a_step_of_a_heterogeneous_job_is_one_world(cluster):
    nodelist = "$SLURM_JOB_NODELIST_HET_GROUP_0,$SLURM_JOB_NODELIST_HET_GROUP_1"
    text = job_text(cluster, "srun --het-group=0,1", HET, nodelist)
    nodes, hosts, ranks = run_job(cluster, text)
    assert len(hosts) == 4
    assert_places(ranks, hosts, nodes)
    assert_network(cluster, ranks, "n1")


@pytest.mark.release("24.11")
def test_steps_at_once_on_one_node_are_worlds_of_their_own(cluster):
    step = f"srun --overlap --mem=0 -N1 -n2 {cluster.python} {PROGRAM} {patient(SECONDS)} >step.$step &"
    text = f"#!/bin/bash\nfor step in {{1..{STEPS}}}; do {step}\ndone\nwait\ncat step.*\n"
    end = cluster.wait(cluster.sbatch(text, "-N1", "-n2", cwd=cluster.shared_dir), timeout=120)
    assert end.state == "COMPLETED", end.output
    worlds = [json.loads(line) for line in end.output.splitlines() if line.startswith("[")]
    assert len(worlds) == len({world[0]["MASTER_PORT"] for world in worlds}) == STEPS, end.output
    for world in worlds:
        assert [(rank["RANK"], rank["MASTER_ADDR"]) for rank in world] == [("0", "127.0.0.1"), ("1", "127.0.0.1")]
        assert {rank["GLOO_SOCKET_IFNAME"] for rank in world} == {"lo"}


@pytest.mark.release("24.11")
def test_a_job_without_srun_fails_and_says_what_to_type(cluster):
    end = cluster.wait(cluster.sbatch(f"exec {cluster.python} {PROGRAM} 9", "-N2", "-n4"))
    assert (end.state, end.exit_code) == ("FAILED", 1)
    assert "has 4 tasks" in end.output
    assert f"Start it as a step:  srun {cluster.python} {PROGRAM} 9" in end.output


@pytest.mark.release("22.05")
@pytest.mark.skipif(importlib.util.find_spec("mpi4py") is None, reason="mpi4py is not installed")
def test_ranks_of_mpirun_find_each_other_through_mpi(cluster):
    """Beneath mpirun, Slurm's variables describe its daemons."""
    allowed = "export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"
    text = job_text(cluster, "mpirun --oversubscribe --bind-to none", allowed)
    text = text.replace("--label hostname", "sh -c 'echo $OMPI_COMM_WORLD_RANK: $(hostname)'")
    nodes, hosts, ranks = run_job(cluster, text, "-N3", "--ntasks-per-node=2")
    assert hosts == ["n1", "n1", "n2", "n2", "n3", "n3"]
    assert_places(ranks, hosts, nodes)
    assert_network(cluster, ranks, "n1")
    assert not (cluster.shared_dir / ".hpcml").exists()
