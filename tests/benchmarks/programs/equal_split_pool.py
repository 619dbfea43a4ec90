"""An equal share of the values for each worker, as a program divides them that does not know of slow workers."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import hpcml_pool


def _run_share(function: Callable[[Any], Any], values: Sequence[Any]) -> list[Any]:
    return [function(value) for value in values]


class Pool(hpcml_pool.Pool):
    def map(self, function: Callable[[Any], Any], values: Sequence[Any]) -> list[Any]:
        slots = self.cluster.slots
        shares = [values[slot::slots] for slot in range(slots)]
        parts = list(self.cluster.map(_run_share, [function] * slots, shares))  # all are idle: one each
        return [value for part in parts for value in part]


@contextmanager
def open_pool(slots: int) -> Iterator[Pool]:
    """Open the workers of this allocation."""
    with hpcml_pool.open_pool(slots) as pool:
        yield Pool(pool.cluster)
