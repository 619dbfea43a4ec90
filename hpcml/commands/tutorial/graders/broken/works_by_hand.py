"""Grader of broken job 1: all simulations ran in the environment of the script."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from hpcml.commands.tutorial.checks import Check, close, same
from hpcml.commands.tutorial.graders.broken import WORD
from hpcml.commands.tutorial.results import numbers, text, texts

__all__ = ["FAULT", "FIELDS", "grade"]

FAULT = "environment"
FIELDS = {
    "fault": WORD,
    "means": numbers("what simulate.py has printed, for seeds from 0 on"),
    "environment": text("sys.prefix of script.py"),
    "environments": texts("sys.prefix of each simulate.py, each once"),
}


def grade(results: Mapping[str, Any]) -> Iterator[Check]:
    """Yield the checks of a student's results."""
    expected = _means(min(max(len(results["means"]), 4), 40))
    yield close("means", results["means"], expected, "one mean for each seed, at least 4", 1e-6)
    hint = "a program that a task starts by its name is the first on PATH: sys.executable is this Python"
    yield same("environment of the simulations", results["environments"], [results["environment"]], hint)


@cache
def _means(count: int) -> list[float]:
    import numpy as np

    return [float(np.random.default_rng(seed).exponential(size=100_000).mean()) for seed in range(count)]
