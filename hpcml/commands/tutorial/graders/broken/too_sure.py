"""Grader of broken job 6: tasks draw different numbers, and the error of the mean is that of pi."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from hpcml.commands.tutorial.checks import Check, same
from hpcml.commands.tutorial.graders.broken import WORD
from hpcml.commands.tutorial.results import number, numbers

__all__ = ["FAULT", "FIELDS", "grade"]

FAULT = "random"
FIELDS = {
    "fault": WORD,
    "estimates": numbers("estimate of each task"),
    "pi": number("their mean"),
    "error": number("standard error of the mean"),
}

TASKS, POINTS = 100, 10_000
ERROR = 4 * math.sqrt(math.pi / 4 * (1 - math.pi / 4) / (TASKS * POINTS))


def grade(results: Mapping[str, Any]) -> Iterator[Check]:
    """Yield the checks of a student's results."""
    yield same("tasks", len(results["estimates"]), TASKS, "leave the number of tasks as it is")
    values = len(set(results["estimates"]))
    hint = "each task draws from a stream of its own: np.random.SeedSequence(6).spawn(TASKS) has the seeds"
    expected = f"{TASKS // 4} or more different ones"  # a few of 10,000 points' estimates are equal by chance
    yield Check("estimates of the tasks", values >= TASKS // 4, expected, f"{values}", hint)
    error = results["error"]
    yield Check(
        "error of the mean",
        ERROR / 2 < error < 2 * ERROR,
        f"about {ERROR:.5f}, that of {TASKS * POINTS} points",
        f"{error:.5f}",
        "the error of equal estimates is 0, and says nothing",
    )
    yield Check(
        "pi",
        abs(results["pi"] - math.pi) < 5 * ERROR,
        f"{math.pi:.5f} within {5 * ERROR:.5f}",
        f"{results['pi']:.5f}",
        "one stream, drawn from a hundred times, is a hundredth of the points",
    )
