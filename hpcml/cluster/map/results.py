"""Results of a ``map``: one object for all of them, instead of a Future each.

To make a `concurrent.futures.Future` takes the driver as long as to send a short task. Here the dispatcher thread
fills `MapResults`, and the thread that called ``map`` empties it.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from hpcml.cluster.dispatch.futures import CallFuture

__all__ = ["MapResults"]

_WAITING = object()


class MapResults:
    """Results in the order of their tasks, each available when its task ends.

    Examples
    --------
    >>> from hpcml.cluster.map.results import MapResults
    >>> results = MapResults()
    >>> futures = [results.new_call() for _ in range(3)]
    >>> for future, value in zip(reversed(futures), "abc"):
    ...     future.set_result(value)
    >>> list(results.take(timeout=1))
    ['c', 'b', 'a']
    """

    def __init__(self) -> None:
        self.values: list[Any] = []
        self.filled = 0.0  # when the last result came, on the clock of time.monotonic
        self._awaited = -1
        self._filled = threading.Condition()  # protects _awaited against the check before a wait

    def new_call(self) -> CallFuture:
        """Return the future of the next task."""
        self.values.append(_WAITING)
        return CallFuture(self, (len(self.values) - 1,))

    def reserve(self, length: int) -> range:
        """Return the places of the next tasks."""
        first = len(self.values)
        self.values += [_WAITING] * length
        return range(first, first + length)

    def is_wanted(self) -> bool:
        """Return True: the dispatcher itself drops the tasks of a map that is given up."""
        return True

    def has(self, place: int) -> bool:
        """Return whether the task at `place` has ended."""
        return self.values[place] is not _WAITING

    def put(self, places: Sequence[int], values: Sequence[Any]) -> None:
        """Take the values that tasks have returned."""
        for place, value in zip(places, values, strict=True):
            self.values[place] = (value, None)
        self._wake_taker(places)

    def fail(self, places: Sequence[int], error: BaseException | None) -> None:
        """Take the error of a task, for all that have not ended: iteration stops at the first."""
        for place in places:
            if self.values[place] is _WAITING:
                self.values[place] = (None, error)
        self._wake_taker(places)

    def _wake_taker(self, places: Sequence[int]) -> None:
        """Wake the thread that takes results, where it waits for one of `places`."""
        self.filled = time.monotonic()
        if self._awaited in places:
            with self._filled:
                self._filled.notify()

    def take(self, timeout: float | None) -> Iterator[Any]:
        """Return an iterator over the values, in order; it raises the exception of a task that failed.

        Raises
        ------
        TimeoutError
            A result is not there `timeout` seconds after this call.
        """
        return self._take(None if timeout is None else time.monotonic() + timeout)

    def _take(self, end: float | None) -> Iterator[Any]:
        for index in range(len(self.values)):
            if self.values[index] is _WAITING:
                self._wait(index, end)
            yield self._pop(index)  # no variable here refers to the value: the caller can free it

    def _pop(self, index: int) -> Any:
        value, error = self.values[index]
        self.values[index] = (None, None)
        if error is not None:
            raise error
        return value

    def _wait(self, index: int, end: float | None) -> None:
        with self._filled:
            self._awaited = index
            left = None if end is None else max(end - time.monotonic(), 0)
            if not self._filled.wait_for(lambda: self.values[index] is not _WAITING, left):
                raise TimeoutError(f"result {index + 1} of {len(self.values)} did not come in time")
