"""Grader of exercise 2: bytes and copies count for each node, and the scores are computed here."""

import pytest

from hpcml.commands.tutorial.graders.data_once import _reference, grade


def failed(**changes):
    """Return the names of the checks that fail for good results on two nodes, but for `changes`."""
    size, scores = _reference(True)
    good = {
        "quick": True,
        "nodes": 2,
        "bytes_of_recordings": size,
        "tasks": [2, 4, 8],
        "bytes_in_each": [2 * size, 4 * size, 8 * size],
        "bytes_once": [2 * size, 2 * size, 2.1 * size],
        "seconds_in_each": [1, 2, 4],
        "seconds_once": [1, 1, 1],
        "bytes_of_1000_tasks": [1000 * size, 2 * size],
        "scores": scores,
        "places": ["n1 /dev/shm/a", "n2 /dev/shm/a"],
    }
    return {check.name for check in grade(good | changes) if not check.passed}


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({}, set()),
        ({"scores": []}, {"scores of one process"}),
        ({"bytes_in_each": []}, {"bytes in each task, for comparison"}),
        ({"tasks": [0], "bytes_in_each": [1]}, {"bytes in each task, for comparison"}),
        ({"bytes_once": [1, 1, 1e100]}, {"bytes sent once"}),
        ({"bytes_once": []}, {"bytes sent once"}),
        ({"places": []}, {"one copy on each node"}),
        ({"places": ["n1 process 7", "n2 /dev/shm/a"]}, {"one copy on each node"}),
        ({"places": ["n1 /dev/shm/a", "n1 /dev/shm/b", "n2 /dev/shm/a"]}, {"one copy on each node"}),
        ({"bytes_of_1000_tasks": [0, 0]}, {"bytes of 1000 tasks"}),
        ({"nodes": 0}, {"bytes sent once", "one copy on each node", "bytes of 1000 tasks"}),
    ],
    ids=range(11),
)
def test_each_mistake_fails_its_own_check(changes, names):
    assert failed(**changes) == names
