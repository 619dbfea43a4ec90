"""Grader of broken job 10: the vocabulary is sent to each node once."""

import random
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from hpcml.commands.tutorial.checks import Check, close
from hpcml.commands.tutorial.graders.broken import WORD
from hpcml.commands.tutorial.results import numbers, whole

__all__ = ["FAULT", "FIELDS", "grade"]

FAULT = "data"
FIELDS = {
    "fault": WORD,
    "words": whole("words of the vocabulary"),
    "counts": numbers("words that contain each part"),
    "nodes": whole("nodes of the Cluster"),
    "sent_bytes": whole("bytes that were sent to the workers"),
}

QUICK, FULL, PARTS = 20_000, 500_000, 40
BYTES_OF_WORD = 60  # pickled, with its number; 36 here


def grade(results: Mapping[str, Any]) -> Iterator[Check]:
    """Yield the checks of a student's results."""
    words = FULL if results["words"] == FULL else QUICK
    yield close("counts", results["counts"], _counts(words), "leave words and parts as they are")
    most = words * BYTES_OF_WORD * max(results["nodes"], 1)
    yield Check(
        "bytes that were sent",
        results["sent_bytes"] <= most,
        f"up to {most / 1e6:.1f} MB: the words once to each node",
        f"{results['sent_bytes'] / 1e6:.1f} MB",
        "an argument is sent with each task; `with cluster.broadcast(words) as handle:` sends it once to a node",
    )


@cache
def _counts(count: int) -> list[float]:
    letters = random.Random(10)
    words = ["".join(letters.choices("acgt", k=30)) for _ in range(count)]
    letters = random.Random(11)
    parts = ["".join(letters.choices("acgt", k=6)) for _ in range(PARTS)]
    return [float(sum(part in word for word in words)) for part in parts]
