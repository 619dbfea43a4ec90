"""Interface of a Cluster, the same in the driver and in a task."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from typing import Any, Self

__all__ = ["ClusterExecutor"]


class ClusterExecutor(Executor, ABC):
    """An executor whose copy is the executor itself: a toolbox of DEAP that holds its ``map`` may be copied."""

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def map(
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
    ) -> Iterator[Any]:
        """Return an iterator over ``fn`` of each tuple of arguments, in order.

        `fn` is pickled once. Short calls are sent in chunks, sized by the time that they have taken so far;
        `chunksize` is there for compatibility and not used. Within a task, a call runs when its result is taken.

        Raises
        ------
        TimeoutError
            A result is not there `timeout` seconds after this call. Within a task there is no limit.
        """
        return self._map(fn, iterables, timeout)

    @abstractmethod
    def _map(
        self, fn: Callable[..., Any], iterables: Sequence[Iterable[Any]], timeout: float | None
    ) -> Iterator[Any]:
        """Return the iterator of `map`."""
