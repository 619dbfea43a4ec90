"""Grader of broken job 3: all clouds are computed within the memory that a task has."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from hpcml.commands.tutorial.checks import Check, close, same
from hpcml.commands.tutorial.graders.broken import WORD
from hpcml.commands.tutorial.results import numbers, whole

__all__ = ["FAULT", "FIELDS", "grade"]

FAULT = "memory"
FIELDS = {
    "fault": WORD,
    "points": whole("points of each cloud"),
    "means": numbers("mean distance to the nearest neighbour, for each cloud"),
    "peak_mb": whole("most memory of a worker, in MB"),
}

POINTS = 12_000
MOST_MB = 1500


def grade(results: Mapping[str, Any]) -> Iterator[Check]:
    """Yield the checks of a student's results."""
    yield same("points of a cloud", results["points"], POINTS, "the whole cloud: a smaller one is another result")
    expected = _means(min(max(len(results["means"]), 2), 20))
    yield close("mean distances", results["means"], expected, "the same distances, in parts", 1e-9)
    yield Check(
        "memory of a worker",
        results["peak_mb"] <= MOST_MB,
        f"up to {MOST_MB} MB: the nodes have no more for each task",
        f"{results['peak_mb']} MB",
        "some rows at a time need a part of the memory: points[first:last, None] - points",
    )


@cache
def _means(count: int) -> list[float]:
    import numpy as np
    from sklearn.neighbors import NearestNeighbors

    found = []
    for seed in range(count):
        points = np.random.default_rng(seed).normal(size=(POINTS, 2))
        distances, _ = NearestNeighbors(n_neighbors=2, algorithm="kd_tree").fit(points).kneighbors(points)
        found.append(float(distances[:, 1].mean()))
    return found
