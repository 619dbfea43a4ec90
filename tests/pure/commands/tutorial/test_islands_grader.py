"""Grader of the islands: first populations of another kind are refused, and empty results fail each check."""

import pytest

from hpcml.commands.tutorial.graders.islands import BITS, ISLANDS, grade

SIZE = 20
DEMES = [[1000 * island + number for number in range(SIZE)] for island in range(ISLANDS)]
EMPTY = {
    "quick": True,
    "slots": 2,
    "script": "host-1",
    "demes": DEMES,
    "processes_by_map": [],
    "best_by_map": [],
    "last_by_map": [],
    "ranks": 0,
    "ranks_agree": True,
    "processes_by_mpi": [],
    "best_by_mpi": [],
    "last_by_mpi": [],
    "migrants": 0,
}


def outcome(**changes):
    return {check.name: check.passed for check in grade({**EMPTY, **changes})}


@pytest.mark.parametrize("one", [2**BITS, -1, 0.5, True, 1e300], ids=range(5))
def test_other_numbers_are_no_individuals(one):
    assert outcome(demes=[[one, *DEMES[0][1:]], *DEMES[1:]]) == {"first populations differ": False}


def test_islands_that_are_missing_or_smaller_are_refused():
    for demes in ([], DEMES[:3], [*DEMES, DEMES[0]], [DEMES[0][1:], *DEMES[1:]]):
        assert outcome(demes=demes) == {"first populations differ": False}


def test_the_order_of_individuals_makes_no_other_island():
    alike = outcome(demes=[DEMES[0], DEMES[0][::-1], *DEMES[2:]])
    assert (alike.pop("first populations differ"), set(alike.values())) == (False, {False})


def test_results_without_islands_fail_all_checks_of_them():
    found = outcome(best_by_map=[[1.0], []], last_by_map=[[]])
    assert found.pop("first populations differ")
    assert len(found) == 6
    assert not any(found.values())


def test_results_of_ranks_that_differ_or_of_one_alone_are_not_shared():
    assert outcome(processes_by_mpi=["host-2", "host-3"])["ranks share the islands"]
    assert not outcome(processes_by_mpi=["host-2"])["ranks share the islands"]
    assert not outcome(processes_by_mpi=["host-2", "host-3"], ranks_agree=False)["ranks share the islands"]
