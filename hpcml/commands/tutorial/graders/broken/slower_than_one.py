"""Grader of broken job 2: a task has no more threads than CPUs."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from hpcml.commands.tutorial.checks import Check, close
from hpcml.commands.tutorial.graders.broken import WORD
from hpcml.commands.tutorial.results import numbers, whole

__all__ = ["FAULT", "FIELDS", "grade"]

FAULT = "threads"
FIELDS = {
    "fault": WORD,
    "cpus_per_task": whole("CPUs that the job has for each task"),
    "threads": whole("most threads of a library in a task"),
    "eigenvalues": numbers("largest eigenvalue of each matrix, for seeds from 0 on"),
}

QUICK, FULL = 24, 2000  # matrices


def grade(results: Mapping[str, Any]) -> Iterator[Check]:
    """Yield the checks of a student's results."""
    cpus, threads = results["cpus_per_task"], results["threads"]
    yield Check(
        "threads of a task",
        1 <= threads <= cpus,
        f"1 to {cpus}, as many as the task has CPUs",
        str(threads),
        "hpcml gives each slot as many threads as Slurm gives it CPUs, unless it is asked for others",
    )
    found = results["eigenvalues"]
    expected = _eigenvalues(FULL if len(found) > QUICK else QUICK)
    yield close("eigenvalues", found, expected, "leave the matrices as they are", 1e-6)


@cache
def _eigenvalues(count: int) -> list[float]:
    import numpy as np

    found = []
    for seed in range(count):
        matrix = np.random.default_rng(seed).normal(size=(200, 200))
        found.append(float(np.linalg.eigvalsh(matrix + matrix.T)[-1]))
    return found
