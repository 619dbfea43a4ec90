"""Grader of broken job 4: each share of the rows is summed once."""

from collections.abc import Iterator, Mapping
from typing import Any

from hpcml.commands.tutorial.checks import Check, close, same
from hpcml.commands.tutorial.graders.broken import WORD
from hpcml.commands.tutorial.results import number, numbers, text, whole

__all__ = ["FAULT", "FIELDS", "grade"]

FAULT = "layout"
FIELDS = {
    "fault": WORD,
    "tasks_per_node": text("SLURM_TASKS_PER_NODE of the job"),
    "rows": whole("number of rows"),
    "shares": numbers("share of each task, in the order of the tasks"),
    "sum": number("sum of all rows"),
}


def grade(results: Mapping[str, Any]) -> Iterator[Check]:
    """Yield the checks of a student's results."""
    shares = [int(share) for share in results["shares"]]
    hint = f"nodes have different numbers of tasks, {results['tasks_per_node']}: count the tasks, not the nodes"
    yield same("shares", sorted(shares), list(range(max(len(shares), 2))), hint)
    count = results["rows"]
    squares = float((count - 1) * count * (2 * count - 1) // 6)  # of all numbers below count
    yield close("sum of all rows", [results["sum"]], [squares], "each row once", 1e-9 * squares)
