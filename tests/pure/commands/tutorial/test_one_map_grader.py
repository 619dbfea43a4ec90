"""Grader of exercise 4: the swarm is computed here, and medians are compared with targets."""

import pytest

from hpcml.commands.tutorial.graders.one_map import TARGETS, _reference, grade


def failed(**changes):
    """Return the names of the checks that fail for good results, but for `changes`."""
    swarm = _reference(True)
    good = {
        "quick": True,
        "slots": 2,
        "workers": ["n1-7", "n1-8"],
        **{name: [[100.0, target]] * 3 for name, target in TARGETS[True].items()},
        "PSO": swarm,
        "swarm_in_reverse": swarm[0],
        "evaluations": [4800] * 4,
        "size_for_16_slots": 48,
    }
    return {check.name for check in grade(good | changes) if not check.passed}


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({}, set()),
        ({"DE": [[11.0], [9.0], [1.0]]}, set()),
        ({"DE": [[11.0], [11.0], [1.0]]}, {"targets of the families"}),
        ({"EMNA": []}, {"targets of the families"}),
        ({"CMA_ES": [[]]}, {"targets of the families"}),
        ({"PSO": []}, {"a swarm without order", "targets of the families"}),
        ({"swarm_in_reverse": []}, {"a swarm without order"}),
        ({"evaluations": [0] * 4}, {"evaluations counted"}),
        ({"slots": 1, "workers": ["n1-7"]}, set()),
        ({"workers": ["n1-7"]}, {"slots that work"}),
        ({"size_for_16_slots": 40}, {"size for 16 slots"}),
    ],
    ids=range(11),
)
def test_each_mistake_fails_its_own_check(changes, names):
    assert failed(**changes) == names


def test_a_swarm_in_reverse_that_goes_elsewhere_fails():
    (first, *_) = _reference(True)
    assert failed(swarm_in_reverse=[*first[:-1], first[-1] + 0.01]) == {"a swarm without order"}
