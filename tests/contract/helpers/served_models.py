"""Scoring functions of the tests of ``hpcml serve``, of a model ``{"w": array}`` that names its version."""

import os
import time
from pathlib import Path

PATTERN = 666.0  # first number of an item that ends its worker


def score(model, batch):
    """Return the weight, and each item's first number."""
    time.sleep(0.002)
    return [[float(model["w"]), float(item[0])] for item in batch]


def score_slowly(model, batch):
    """As `score`, in half a second."""
    time.sleep(0.5)
    return score(model, batch)


def score_or_die(model, batch):
    """As `score`; but an item that begins with PATTERN ends the worker, and any item the first one."""
    once = Path("died-once")
    if not once.exists():
        once.touch()
        os.kill(os.getpid(), 9)
    if any(item[0] == PATTERN for item in batch):
        os.kill(os.getpid(), 9)
    return score(model, batch)


def picky(model, batch):
    """Fail for a whole batch when one of its items is negative."""
    if (batch < 0).any():
        raise ValueError("an item is negative")
    return batch.sum(axis=1)
