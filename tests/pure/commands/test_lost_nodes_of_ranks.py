"""Ranks whose step ends because of a node: what is a restart, and what is a start without that node."""

import sys

import pytest

from hpcml.commands.main import parser
from hpcml.commands.torch import command
from hpcml.errors import EngineError

JOB = {
    "SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "n[1-2]", "SLURM_JOB_NUM_NODES": "2",
    "SLURM_TASKS_PER_NODE": "1(x2)", "PATH": "/nowhere",
}  # fmt: skip
STEP = """if True:
    import json, sys
    nodes, said = sys.argv[1].split(","), sys.argv[2]
    for rank, node in enumerate(nodes):
        address = {"address": "n1:1"} if rank == 0 else {}
        if rank == 0 or "Task launch" not in said:
            print(json.dumps({"rank": rank, "here": node, "step": "", **address}), flush=True)
    sys.stdin.readline()
    if "n2" in nodes:
        sys.exit(f"srun: error: {said}")
    print(json.dumps({"rank": 0, "node": "n1", "ended": 0}), flush=True)
"""
LAUNCH = "Task launch for StepId=7.0 failed on node n2: Communication connection failure"
FAILURE = "Node failure on n2"


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Run ranks in a job of two nodes; return the nodes of each start, and the exit status or the error."""
    monkeypatch.chdir(tmp_path)

    def run(said, *options):
        starts = []

        def commands(nodes, *_):
            starts.append([node.name for node in nodes])
            return ((sys.executable, "-I", "-S", "-c", STEP, ",".join(starts[-1]), said),)

        monkeypatch.setattr(command, "rank_commands", commands)
        arguments = parser().parse_args(["run", "--engine=torch", *options, "s.py"])
        try:
            return starts, command.run_with_torch(arguments, ["s.py"], JOB, 2)
        except EngineError as error:
            return starts, str(error)

    return run


def test_a_start_that_does_not_reach_a_node_is_made_again_without_it(start):
    assert start(LAUNCH, "--min-slots=1") == ([["n1", "n2"], ["n1"]], 0)


def test_the_loss_of_a_node_costs_a_restart(start):
    assert start(FAILURE, "--min-slots=1", "--restarts=1") == ([["n1", "n2"], ["n1"]], 0)
    starts, error = start(FAILURE, "--min-slots=1")
    assert starts == [["n1", "n2"]]
    assert "the ranks have ended" in error


@pytest.mark.parametrize("said", [LAUNCH, FAILURE])
def test_a_world_that_must_be_whole_is_not_started_without_a_node(said, start):
    starts, error = start(said, "--restarts=1")
    assert starts == [["n1", "n2"]]
    assert "srun has no answer from n2. To run the ranks of the other nodes: --min-slots=1" in error
    starts, error = start(said, "--restarts=1", "--min-slots=2")
    assert starts == [["n1", "n2"]]
    assert "without n2, 1 slots are left, and --min-slots=2 asks for more" in error
