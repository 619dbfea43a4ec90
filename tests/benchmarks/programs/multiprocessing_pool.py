"""Python's own pool of processes on this computer, without Slurm."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any


class Pool:
    def __init__(self, pool: Any) -> None:
        self.pool = pool

    def map(self, function: Callable[[Any], Any], values: Sequence[Any]) -> list[Any]:
        return self.pool.map(function, values)


@contextmanager
def open_pool(slots: int, bare: bool = False) -> Iterator[Pool]:
    """Start `slots` processes, by the way that is the default from Python 3.14 on and has no copies of threads."""
    with multiprocessing.get_context("forkserver").Pool(slots) as pool:
        yield Pool(pool)
