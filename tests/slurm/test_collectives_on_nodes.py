"""Workers as ranks of MPI on three uneven nodes: collectives, their errors, and the ranks that follow."""

import json
from pathlib import Path

import pytest
from patience import promised

PROGRAM = Path(__file__).parent / "programs" / "collectives.py"
SLOTS = (3, 1, 2)
RANKS = sum(SLOTS)
TOTALS = [sum(range(RANKS))] * RANKS
SQUARES = [number * number for number in range(48)]
BACK_SECONDS = 10  # until all ranks are there again


@pytest.fixture
def run(make_cluster):
    """Function that runs a test of the program in a job on three nodes, and returns what it prints."""

    def _run(name):
        cluster = make_cluster(cpus=SLOTS)
        words = ["salloc", "--quiet", "-N3", f"-n{RANKS}", cluster.python, PROGRAM, name]
        done = cluster.run(words, timeout=120, check=True)
        *prints, last = done.stdout.splitlines()
        return {**json.loads(last), "prints": prints}

    return _run


def test_numbers_equal_those_of_one_process(run):
    found = run("numbers")
    nodes = [f"n{number}" for number, slots in enumerate(SLOTS, 1) for _ in range(slots)]
    assert found["places"] == [[rank, RANKS, node] for rank, node in enumerate(nodes)]
    assert found["same"] == [True] * RANKS
    assert found["view"] == [[rank, RANKS] for rank in range(RANKS)]
    assert found["squares"] == found["mapped"] == SQUARES[:12]
    assert found["islands"] == [True] * RANKS


@pytest.mark.release("22.05")
def test_an_exception_of_one_rank_is_raised_and_the_next_call_works(run):
    found = run("errors")
    kind, text, notes, _, _ = found["on_all"]
    assert (kind, text[:4]) in [("KeyError", str(rank)) for rank in range(RANKS)]
    assert found["unsent"][0] == "TaskError"
    assert found["kept"]  # all ranks have ended by themselves
    kind, text, notes, shown, seconds = found["on_one"]
    assert (kind, text, notes) == ("KeyError", "'a wrong name'", [f"on rank 1 of {RANKS}, n1:1"])
    assert "RemoteTraceback: on n1:1" in shown
    assert 'raise KeyError("a wrong name")' in shown or "in fail_on_rank_1" in shown
    assert seconds < promised(4)
    assert sorted(found["prints"])[:2] == ["[n1:0] begun on rank 0", "[n1:1] begun on rank 1"]
    assert found["seconds"] < promised(BACK_SECONDS)
    kind, text, *_ = found["late"]
    assert kind == "TimeoutError"
    assert "n1:0, n1:1, n1:2, n2:0, n3:0, n3:1" in text
    assert found["again"] == found["last"] == TOTALS
    assert found["mapped"] == SQUARES[:12]


@pytest.mark.release("22.05")
def test_a_rank_that_dies_is_named_and_all_are_replaced(run):
    found = run("deaths")
    kind, text, notes, *_ = found["killed"]
    assert (kind, text) == ("WorkerDied", "n3:0 ended: signal SIGKILL")
    assert notes == [f"on rank 4 of {RANKS}, n3:0"]
    assert found["again"] == found["last"] == TOTALS
    assert found["seconds"] < promised(BACK_SECONDS)
    assert found["slots"] == RANKS
    assert found["mapped"] == SQUARES[:24]


@pytest.mark.release("24.11")
def test_calls_of_threads_take_turns_and_ctrl_c_ends_one(run):
    found = run("threads")
    assert found["sums"] == [TOTALS] * 4
    assert found["mapped"] == SQUARES
    assert found["interrupted"]
    assert found["last"] == TOTALS
