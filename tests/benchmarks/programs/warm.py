"""Reaching every worker of a pool, which no system promises for one call each."""

from collections.abc import Callable
from typing import Any

ROUNDS = 100


def every_slot(pool: Any, slots: int, task: Callable[[int], tuple[str, int]]) -> None:
    """Run `task`, which returns its worker's host and process id, until it has run in every slot."""
    seen: set[tuple[str, int]] = set()
    for _ in range(ROUNDS):
        seen.update(pool.each(task))
        if len(seen) == slots:
            return
    raise RuntimeError(f"{len(seen)} of {slots} slots did the task in {ROUNDS} rounds")
