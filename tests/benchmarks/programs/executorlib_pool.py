"""executorlib within one allocation: `SlurmJobExecutor` with block allocation, its way to keep workers.

It starts one srun per worker. Dependencies between tasks are switched off: their thread only costs time here.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from executorlib import SlurmJobExecutor

WORKER = "executorlib/backend"


class Pool:
    def __init__(self, executor: SlurmJobExecutor, slots: int) -> None:
        self.executor = executor
        self.slots = slots

    def each(self, function: Callable[[int], Any]) -> list[Any]:
        """Call `function` as often as there are workers; each idle worker takes one call."""
        return list(self.executor.map(function, range(self.slots)))

    def map(self, function: Callable[[Any], Any], values: Sequence[Any]) -> list[Any]:
        return list(self.executor.map(function, values))


@contextmanager
def open_pool(slots: int, bare: bool = False) -> Iterator[Pool]:
    """Open `slots` workers on the nodes of this allocation."""
    with SlurmJobExecutor(max_workers=slots, block_allocation=True, disable_dependencies=True) as executor:
        yield Pool(executor, slots)
