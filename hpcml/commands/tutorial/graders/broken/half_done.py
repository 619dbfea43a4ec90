"""Grader of broken job 9: all measurements are there."""

from collections.abc import Iterator, Mapping
from typing import Any

from hpcml.commands.tutorial.checks import Check, close, same
from hpcml.commands.tutorial.graders.broken import WORD
from hpcml.commands.tutorial.results import numbers, whole

__all__ = ["FAULT", "FIELDS", "grade"]

FAULT = "time"
FIELDS = {
    "fault": WORD,
    "count": whole("number of measurements"),
    "measurements": numbers("the square of each number from 0 on"),
}

QUICK, FULL = 24, 6


def grade(results: Mapping[str, Any]) -> Iterator[Check]:
    """Yield the checks of a student's results."""
    count = results["count"]
    yield same("measurements", count, FULL if count == FULL else QUICK, "leave their number as it is")
    squares = [float(number**2) for number in range(FULL if count == FULL else QUICK)]
    yield close("values", results["measurements"], squares, "leave measure as it is")
