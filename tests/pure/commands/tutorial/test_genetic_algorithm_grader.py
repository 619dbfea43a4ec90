"""Grader of exercise 3: the logbook is computed here; a prediction is held against the student's own times."""

import random

import pytest

from hpcml.commands.tutorial.graders.genetic_algorithm import _reference, grade

ROWS = {"milliseconds": [0.3, 20], "serial_seconds": [0.006, 0.32], "map_seconds": [0.007, 0.17]}


def failed(**changes):
    """Return the names of the checks that fail for good results on two slots, but for `changes`."""
    logbook, best = _reference(True)
    good = {
        "quick": True,
        "slots": 2,
        "workers": ["n1-7", "n1-8"],
        "logbook": logbook,
        "best": best,
        "individuals": 16,
        **ROWS,
        "predicted_ms": 0.5,
        "failure": f"ValueError('0 features')\nwhile evaluating the Individual {[0] * 12}",
    }
    return {check.name for check in grade(good | changes) if not check.passed}


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({}, set()),
        ({"predicted_ms": 0.26}, set()),
        ({"predicted_ms": 0.99}, set()),
        ({"predicted_ms": 1.1}, {"predicted break-even"}),
        ({"predicted_ms": -1, "map_seconds": [0.0029, 0.17]}, {"predicted break-even"}),
        ({"predicted_ms": -0.0125, "map_seconds": [0.0029, 0.17]}, set()),
        ({"milliseconds": []}, {"predicted break-even", "speed-up of long evaluations"}),
        ({"map_seconds": [0.0, 0.0]}, {"predicted break-even", "speed-up of long evaluations"}),
        ({"map_seconds": [0.007, 0.32]}, {"speed-up of long evaluations"}),
        ({"slots": 1, "workers": ["n1-7"], "predicted_ms": 0.0625}, set()),
        ({"slots": 1, "map_seconds": [0.007, 0.34], "predicted_ms": 0.0625}, set()),
        ({"slots": 8, "map_seconds": [0.00475, 0.15]}, {"speed-up of long evaluations"}),
        ({"slots": 8, "map_seconds": [0.00475, 0.13], "predicted_ms": 0.3}, set()),
        ({"workers": ["n1-7"]}, {"slots that work"}),
        ({"logbook": [[0]]}, {"logbook of one process"}),
        ({"best": [1] * 12}, {"best individual"}),
        ({"failure": ""}, {"a failed individual is named"}),
        ({"failure": "ValueError"}, {"a failed individual is named"}),
    ],
    ids=range(18),
)
def test_each_mistake_fails_its_own_check(changes, names):
    assert failed(**changes) == names


def test_the_random_numbers_of_the_caller_stay():
    random.seed(1)
    expected = random.random()
    random.seed(1)
    _reference.cache_clear()
    _reference(True)
    assert random.random() == expected
