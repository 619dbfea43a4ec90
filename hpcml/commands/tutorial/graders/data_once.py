"""Grader of exercise 2: bytes that were sent, copies of the data on the nodes, and the scores of one process."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from hpcml.commands.tutorial.checks import Check, at_least, close
from hpcml.commands.tutorial.results import flag, numbers, texts, whole

__all__ = ["FIELDS", "grade"]

FIELDS = {
    "quick": flag("whether there are few recordings, --quick"),
    "nodes": whole("nodes of the Cluster, len(cluster.hosts)"),
    "bytes_of_recordings": whole("bytes of all recordings together"),
    "tasks": numbers("numbers of tasks, in order"),
    "bytes_in_each": numbers("bytes that so many tasks have sent with the recordings in each of them"),
    "bytes_once": numbers("bytes that they have sent with the recordings once to each node"),
    "seconds_in_each": numbers("seconds of the first way"),
    "seconds_once": numbers("seconds of the second way"),
    "bytes_of_1000_tasks": numbers("bytes that 1000 tasks would have sent, in the first way and in the second"),
    "scores": numbers("mean autocorrelation at each lag from 1 on, of the most tasks in the second way"),
    "places": texts("places of the recordings in these tasks, as place_of returns them, each once"),
}

COUNTS = {True: 1000, False: 8000}  # recordings
TASKS = {True: (2, 4, 8), False: (2, 4, 8, 16, 32)}
MOST = 1.2  # times the size of the recordings
NEAR = 0.05  # part of the bytes by which a prediction may miss


def grade(results: Mapping[str, Any]) -> Iterator[Check]:
    """Yield the checks of a student's results."""
    size, scores = _reference(results["quick"])
    nodes = max(results["nodes"], 1)
    yield close(
        "scores of one process",
        results["scores"],
        scores,
        "np.split(joined, ends[:-1]) has the recordings again, in their order",
        tolerance=1e-9,
    )
    yield _linear(results["tasks"], results["bytes_in_each"], size)
    yield _once(results["bytes_once"], nodes * size)
    yield _one_copy(results["places"], nodes)
    yield close(
        "bytes of 1000 tasks",
        results["bytes_of_1000_tasks"],
        [1000.0 * size, float(nodes * size)],
        "multiply the bytes of the recordings by the tasks that carry them, or by the nodes",
        tolerance=NEAR * nodes * size,
    )


def _linear(tasks: Sequence[float], found: Sequence[float], size: int) -> Check:
    """Check the first way, to which the second is compared: each task has the recordings with it."""
    per_task = min((nbytes / count for count, nbytes in zip(tasks, found, strict=False) if count > 0), default=0.0)
    hint = "leave send_in_each as it is, and draw both ways"
    return at_least("bytes in each task, for comparison", per_task / size, 0.99, hint)


def _once(found: Sequence[float], size: int) -> Check:
    """Check that no number of tasks has sent more than the nodes need."""
    most = max(found, default=float("inf"))
    return Check(
        "bytes sent once",
        most <= MOST * size,
        f"up to {MOST} times the recordings for each node: {MOST * size / 1e6:.1f} MB",
        f"{most / 1e6:.1f} MB",
        "send the handle, and take handle.value in the task: in the script it is the object itself",
    )


def _one_copy(places: Sequence[str], nodes: int) -> Check:
    """Check that tasks of one node have the same file mapped."""
    mapped = [place for place in places if place.partition(" ")[2].startswith("/")]
    return Check(
        "one copy on each node",
        0 < len(mapped) == len(places) <= nodes,
        f"maps of a file on {nodes} node" + "s" * (nodes > 1),
        f"{len(mapped)} maps of a file, {len(places) - len(mapped)} copies in memory of a process",
        "join the recordings into one array before the broadcast: a list is built again by each worker",
    )


@cache
def _reference(quick: bool) -> tuple[int, list[float]]:
    """Return the bytes of the recordings, and the scores, of one process."""
    import numpy as np

    random = np.random.default_rng(2)
    lengths = random.integers(500, 1500, COUNTS[quick])
    recordings = [random.normal(size=length).cumsum() for length in lengths]
    squares = [one @ one for one in recordings]
    scores = [
        float(np.mean([one[:-lag] @ one[lag:] / square for one, square in zip(recordings, squares, strict=True)]))
        for lag in range(1, TASKS[quick][-1] + 1)
    ]
    return sum(one.nbytes for one in recordings), scores
