"""Start and end of ranks: commands, ends in words, and starts that fail."""

import json
import sys
import time

import pytest
from patience import promised, wait_until

from hpcml.commands.torch.command import rank_commands
from hpcml.errors import EngineError
from hpcml.slurm.allocation import Allocation
from hpcml.slurm.gpus import parse_job_gpus
from hpcml.slurm.nodes import Node
from hpcml.slurm.process import Inbox, Program
from hpcml.slurm.ranks import training_step
from hpcml.training.ranks.launch import Launch, Ranks
from hpcml.training.ranks.rank_end import RankEnd

COMMON = ["--job-name=hpcml-training", "--overlap", "--mem=0", "--cpu-bind=none"]
ENDS = ["--kill-on-bad-exit=1", "--wait=0", "--mpi=none", "--export=ALL", "--label"]


def places(*nodes):
    number = f"--ntasks={len(nodes)}"
    return [number, "--overcommit", "--distribution=arbitrary", f"--nodelist={','.join(nodes)}"]


def test_a_step_has_the_ranks_where_the_slots_are():
    nodes = (Node("n1", 3), Node("n2", 1))
    ((*words, order),) = rank_commands(nodes, Allocation(7, nodes, "batch"), {"program": ["python", "s.py"]})
    program = [sys.executable, "-P", "-m", "hpcml.commands.torch.rank"]
    assert words == ["srun", *COMMON, *places("n1", "n1", "n1", "n2"), *ENDS, *program]
    assert json.loads(order) == {"program": ["python", "s.py"], "place": None}


def test_a_step_of_a_heterogeneous_job_has_a_part_for_each_component():
    words = training_step({0: ["n1"], 1: ["n2", "n2"]}, ["train"], ["run/input"])
    first = ["srun", "--het-group=0", *COMMON, *places("n1"), *ENDS, "train"]
    second = [":", "--het-group=1", *COMMON, *places("n2", "n2"), *ENDS, "--input=run/input", "train"]
    assert words == first + second


def test_ranks_ask_for_as_many_gpus_as_each_of_their_nodes_has():
    """A step of a job of --gpus=8 would have one on the first node, and one of --gpus=6 is refused."""
    held = ("Nodes=n1 CPU_IDs=0 Mem=0 GRES=gpu:4(IDX:0-3)", "Nodes=n2 CPU_IDs=0 Mem=0 GRES=gpu:2(IDX:0-1)")
    gpus = parse_job_gpus(" ".join(held))
    words = training_step({None: ["n1", "n2"]}, ["train"], gpus=gpus)
    assert words == ["srun", *COMMON, *places("n1", "n2"), "--gres=gpu:2", *ENDS, "train"]


def test_each_rank_of_this_computer_is_a_process():
    commands = rank_commands((Node("here", 2, cpus_per_slot=3),), None, {})
    orders = [json.loads(command[-1])["place"] for command in commands]
    assert [(one["rank"], one["local_rank"], one["size"], one["threads"]) for one in orders] == [
        (0, 0, 2, 3),
        (1, 1, 2, 3),
    ]


@pytest.mark.parametrize(
    ("status", "exit_status", "cause"),
    [
        (3, 3, "ended with exit status 3"),
        (-11, 139, "was ended by SIGSEGV"),
        (-64, 192, "was ended by SIGRTMAX"),
        (-50, 178, "was ended by signal 50"),
    ],
)
def test_an_end_in_words(status, exit_status, cause):
    end = RankEnd(1, "n1", status, "  \n")
    assert (end.exit_status, end.describe(4)) == (exit_status, f"rank 1 of 4, on n1, {cause}")


def test_the_kernels_end_for_want_of_memory_says_what_to_ask_for():
    end = RankEnd(1, "n1", -9, was_short_of_memory=True)
    assert (end.exit_status, end.cause.rpartition(" ")[2]) == (137, "--mem=…")


def launched(tmp_path, command, timeout=60.0):
    launch = Launch(((sys.executable, "-I", "-S", "-c", command),), {}, tmp_path / "ranks.log", timeout)
    with Ranks(launch, Inbox(), lambda *_: None) as ranks:
        return ranks.run(lambda: None, lambda _: None)


def test_rank_0_that_does_not_come_is_an_error_that_ends_all(tmp_path):
    began = time.monotonic()
    with pytest.raises(EngineError, match=r"rank 0 has not started within 0.5 s .*\n.*waiting"):
        launched(tmp_path, "import sys; print('waiting', file=sys.stderr, flush=True); sys.stdin.read()", 0.5)
    assert time.monotonic() - began < promised(5)


def test_a_program_of_an_earlier_start_that_ends_late_ends_no_other(tmp_path):
    inbox = Inbox()
    failing = (sys.executable, "-I", "-S", "-c", "exit(137)")
    earlier = Program("earlier", failing, {}, inbox, tmp_path / "earlier.log")
    wait_until(lambda: not inbox.empty())
    rank = """if True:
    import json, sys, time
    print(json.dumps({"rank": 0, "here": "n1", "step": "", "address": "n1:1"}), flush=True)
    orders = [json.loads(sys.stdin.readline())]
    time.sleep(0.5)
    print(json.dumps({"rank": 0, "node": "n1", "ended": 0}), flush=True)
    assert "start" in orders[0]
    """
    launch = Launch(((sys.executable, "-I", "-S", "-c", rank),), {}, tmp_path / "ranks.log", 60.0)
    with Ranks(launch, inbox, lambda *_: None) as ranks:
        ordered = []
        ranks._order = lambda order, send=ranks._order: (ordered.append(order), send(order))
        assert ranks.run(lambda: None, lambda _: None) is None
    earlier.stop()
    assert ordered == [{"start": "n1:1"}]


def test_a_step_that_slurm_refuses_is_an_error_with_its_words(tmp_path):
    words = r"with exit status 113; the log .* ends with\n    srun: error: no such node"
    with pytest.raises(EngineError, match=words):
        launched(tmp_path, "import sys; print('srun: error: no such node', file=sys.stderr); sys.exit(113)")
