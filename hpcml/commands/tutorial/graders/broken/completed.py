"""Grader of broken job 7: a job whose script fails, fails; the trends of all recordings are there."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from hpcml.commands.tutorial.checks import Check, close
from hpcml.commands.tutorial.graders.broken import WORD
from hpcml.commands.tutorial.results import numbers

__all__ = ["FAULT", "FIELDS", "grade"]

FAULT = "status"
FIELDS = {"fault": WORD, "trends": numbers("slope of each recording")}

RECORDINGS = 6


def grade(results: Mapping[str, Any]) -> Iterator[Check]:
    """Yield the checks of a student's results."""
    hint = "leave script.py as it is: a recording that cannot be read ends it"
    yield close("trends", results["trends"], _trends(), hint, 1e-9)


@cache
def _trends() -> list[float]:
    import numpy as np

    recordings = [np.random.default_rng(number).normal(size=1000).cumsum() for number in range(RECORDINGS)]
    return [float(np.polyfit(np.arange(1000), recording, 1)[0]) for recording in recordings]
