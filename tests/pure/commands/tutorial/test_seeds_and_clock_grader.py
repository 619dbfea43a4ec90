"""Grader of exercise 6: what an uncut evolution gives, which seeds ran again, and what the cuts have cost."""

import random

import numpy as np
import pytest

from hpcml.commands.tutorial.graders.seeds_and_clock import _reference, grade

ATTEMPTS = [
    *([0, 1.0 + number, number, 432.0] for number in range(-1, 11)),
    *([1, 15.0, -1, 0.0], [1, 16.0, 10, 406.0]),  # the attempt was killed before its state was written
    *([1, 7.0 + number, number, 406.0] for number in range(11, 21)),
    *([2, 30.0, -1, 0.0], *([2, 11.0 + number, number, 406.0] for number in range(21, 31))),
]


def failed(**changes):
    """Return the names of the checks that fail for good results, but for `changes`."""
    uncut = _reference(6, 20, 30)
    good = {
        "quick": True,
        "slots": 2,
        "script": "n1-1",
        "best_of_seeds": [_reference(seed, 20, 30).logbook[-1][3] for seed in range(8)],
        "missing_seeds": [4],
        "runs": [1, 1, 1, 1, 2, 1, 1, 1],
        "processes_of_seeds": ["n1-7", "n2-8"],
        "attempts": ATTEMPTS,
        "repeated": 1,
        "logbook": uncut.logbook,
        "population": uncut.population,
        "numbers_after": uncut.after,
    }
    return {check.name for check in grade(good | changes) if not check.passed}


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({}, set()),
        ({"processes_of_seeds": []}, {"seeds are jobs"}),
        ({"processes_of_seeds": ["n1-1"]}, {"seeds are jobs"}),
        ({"best_of_seeds": []}, {"results of all seeds"}),
        ({"missing_seeds": []}, {"missing seed"}),
        ({"missing_seeds": [3, 4]}, {"missing seed"}),
        ({"runs": [2] * 8}, {"no seed runs twice"}),
        ({"runs": []}, {"no seed runs twice"}),
        ({"repeated": 0}, {"generations made twice"}),
        ({"attempts": [], "repeated": 0}, {"cut and begun again"}),
        ({"attempts": [[1], []], "repeated": 0}, {"cut and begun again"}),
        ({"attempts": ATTEMPTS[:24]}, {"cut and begun again"}),
        ({"attempts": [[place % 3, 0.0, place % 31, 0.0] for place in range(38)], "repeated": 7},
         {"work that is lost"}),
        ({"logbook": []}, {"logbook of an uncut run"}),
        ({"logbook": [[]]}, {"logbook of an uncut run"}),
        ({"population": []}, {"population of an uncut run"}),
        ({"numbers_after": [0.5, 0.5]}, {"random numbers of an uncut run"}),
        ({"quick": False}, {"results of all seeds", "logbook of an uncut run", "population of an uncut run",
                            "random numbers of an uncut run"}),
    ],
    ids=range(18),
)  # fmt: skip
def test_each_mistake_fails_its_own_check(changes, names):
    assert failed(**changes) == names


def test_the_order_of_a_population_and_each_number_of_its_logbook_count():
    uncut = _reference(6, 20, 30)
    assert failed(population=uncut.population[::-1]) == {"population of an uncut run"}
    twice = [*uncut.logbook[:11], *uncut.logbook[10:]]
    assert failed(logbook=twice) == {"logbook of an uncut run"}


def test_the_random_numbers_of_the_caller_stay():
    random.seed(1)
    np.random.seed(1)
    expected = random.random(), np.random.random()
    random.seed(1)
    np.random.seed(1)
    _reference.cache_clear()
    _reference(6, 20, 30)
    assert (random.random(), np.random.random()) == expected
