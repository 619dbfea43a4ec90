"""Grader of broken job 8: the tables of both jobs are there, and whole."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from hpcml.commands.tutorial.checks import Check, close, same
from hpcml.commands.tutorial.graders.broken import WORD
from hpcml.commands.tutorial.results import numbers

__all__ = ["FAULT", "FIELDS", "grade"]

FAULT = "directory"
FIELDS = {
    "fault": WORD,
    "seeds": numbers("seeds of the tables"),
    "rows": numbers("rows of each table"),
    "means": numbers("mean of each table"),
}

SEEDS, ROWS = (1, 2), 20


def grade(results: Mapping[str, Any]) -> Iterator[Check]:
    """Yield the checks of a student's results."""
    hint = "a file that two jobs write has a name that each of them has alone: its seed, or $SLURM_JOB_ID"
    yield same("seeds of the tables", [int(seed) for seed in results["seeds"]], list(SEEDS), hint)
    hint = "a table of an earlier run counts too: rm -r tables"
    yield same("rows of the tables", [int(rows) for rows in results["rows"]], [ROWS] * len(SEEDS), hint)
    yield close("means of the tables", results["means"], _means(), "leave evaluate as it is", 1e-9)


@cache
def _means() -> list[float]:
    import numpy as np

    return [
        sum(float(np.random.default_rng([seed, row]).normal()) for row in range(ROWS)) / ROWS for seed in SEEDS
    ]
