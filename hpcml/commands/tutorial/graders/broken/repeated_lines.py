"""Grader of broken job 5: the primes of all parts, counted by several processes."""

from collections.abc import Iterator, Mapping
from typing import Any

from hpcml.commands.tutorial.checks import Check, at_least, same
from hpcml.commands.tutorial.graders.broken import WORD
from hpcml.commands.tutorial.results import numbers, whole

__all__ = ["FAULT", "FIELDS", "grade"]

FAULT = "guard"
FIELDS = {
    "fault": WORD,
    "primes": numbers("primes of each of ten parts"),
    "processes": whole("processes that have counted"),
}

PRIMES = {True: 17984, False: 283146}
"""Below 200,000 and 4,000,000; see oeis.org/A000720."""


def grade(results: Mapping[str, Any]) -> Iterator[Check]:
    """Yield the checks of a student's results."""
    found = results["primes"]
    yield same("parts", len(found), 10, "leave the ten parts as they are")
    expected = PRIMES[sum(found) < 100_000]
    yield same("number of primes", sum(found), expected, "leave the parts as they are")
    yield at_least("processes", results["processes"], 2, "keep the pool, or use the slots of a Cluster")
