"""GPUs of jobs on two nodes of four fake GPUs of two types; what Slurm has given is read from its record."""

import json
import re
from pathlib import Path

import pytest
from patience import patient

TYPES = "2 fast (0-1), 2 slow (2-3)"
PROGRAM = Path(__file__).parent / "programs" / "gpus.py"


def ranks(cluster):
    """Return the command that has ranks of a training print the GPUs that they see."""
    text = "import os\nprint(os.environ['RANK'], os.environ['CUDA_VISIBLE_DEVICES'], flush=True)\n"
    program = cluster.write("rank.py", text)
    return f"{cluster.python} -m hpcml run --quiet --engine torch {program}"


def opened(cluster, engine, *options, first=":"):
    """Return each node's GPUs by scontrol, the messages, the variables of the workers, and the facts of info.

    `first` is a command whose lines are the first of the messages.
    """
    show = "scontrol show job -d $SLURM_JOB_ID | grep Nodes= | tr -d '\\n'"
    info = f"{cluster.python} -m hpcml info --json | tr -d '\\n'"
    program = f"{cluster.python} {PROGRAM} {engine} {patient(60)}"
    job = cluster.sbatch(f"{show}; echo; {first}; {program}; {info}", "-N2", *options)
    end = cluster.wait(job, timeout=120)
    assert end.state == "COMPLETED", end.output
    record, *messages, found, facts = end.output.splitlines()
    return held(record), messages, json.loads(found), json.loads(facts)


def held(record):
    """Return the indexes of each node's GPUs; those in the same state are on one line of scontrol's."""
    gpus = {}
    for nodes, gres in re.findall(r"\bNodes=(\S+) .*?GRES=(\S+)", record):
        ranges = [text.split("-") for text in re.findall(r"IDX:([\d-]+)", gres)]
        indexes = [str(index) for ends in ranges for index in range(int(ends[0]), int(ends[-1]) + 1)]
        gpus |= dict.fromkeys(("n1", "n2") if nodes == "n[1-2]" else (nodes,), indexes)
    return gpus


def test_each_worker_has_a_gpu_of_its_own(make_cluster):
    """A job of GPUs for each task, or of both types untyped: none is shared, and none is lost."""
    cluster = make_cluster(cpus=(4, 4), gpus=4, gpu_types=("fast", "slow"))
    gpus, messages, workers, facts = opened(cluster, "mpi", "--ntasks-per-node=2", "--gpus-per-task=1")
    assert gpus == {"n1": ["0", "1"], "n2": ["0", "1"]}
    assert workers == [[node, one, one, one, "PCI_BUS_ID"] for node in gpus for one in gpus[node]]
    assert messages == []
    options = ("--ntasks-per-node=2", "--gpus=8")
    gpus, messages, workers, facts = opened(cluster, "ipyparallel", *options, first=ranks(cluster))
    assert gpus == {"n1": ["0", "1", "2", "3"], "n2": ["0", "1", "2", "3"]}
    shares = [[node, ",".join(gpus[node][at : at + 2])] for node in gpus for at in (0, 2)]
    assert workers == [[node, share, share, share, "PCI_BUS_ID"] for node, share in shares]
    assert sorted(messages) == [f"{rank} 0,1,2,3" for rank in range(4)]  # LOCAL_RANK chooses one
    assert [(node["gpus"], node["types_of_gpus"]) for node in facts["nodes"]] == [(4, TYPES)] * 2
    assert facts["gpus_here"]["variables"]["SLURM_JOB_GPUS"] == ",".join(gpus["n1"])


@pytest.mark.release("24.11")
def test_gpus_that_are_shared_or_lost_are_said_once(make_cluster):
    cluster = make_cluster(cpus=(4, 4), gpus=4, gpu_types=("fast", "slow"))
    gpus, messages, workers, _ = opened(cluster, "ipyparallel", "--ntasks-per-node=4", "--gpus=6")
    assert gpus == {"n1": ["0", "1", "2", "3"], "n2": ["0", "1"]}
    assert [worker[:2] for worker in workers] == [[node, one] for node in gpus for one in "0011"]
    shared, lost = messages
    assert shared.startswith("n[1-2]: 4 workers share 2 GPUs. For one each: --ntasks-per-node=2 ")
    assert lost.startswith("n1: the workers use 2 of the job's GPUs, 2 fast (0-1), 2 slow (2-3), ")
    assert lost.endswith(" --gres=gpu:fast:2,gpu:slow:2")
