"""The results of a ``map``: one object for all of them, instead of a Future each.

To make a `concurrent.futures.Future` takes as long as to send a short task, in a driver that has to feed all
slots. Here the dispatcher thread fills `MapResults`, and the thread that called ``map`` empties it.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

__all__ = ["MapChunk", "MapItem", "MapResults"]

_WAITING = object()


class MapItem:
    """One task's place in the results; what the dispatcher asks of a future."""

    __slots__ = ("index", "results")

    def __init__(self, results: "MapResults", index: int) -> None:
        self.results = results
        self.index = index

    def set_running_or_notify_cancel(self) -> bool:
        """Return True: a map is given up as a whole, not by the task."""
        return True

    def done(self) -> bool:
        """Tell whether the result is there."""
        return self.results.values[self.index] is not _WAITING

    def set_result(self, value: Any) -> None:
        """Put the task's value in its place."""
        self.results.put(self.index, (value, None))

    def set_exception(self, error: BaseException | None) -> None:
        """Put what the task raised in its place."""
        self.results.put(self.index, (None, error))


class MapChunk:
    """The places of several tasks that are sent as one; see `hpcml.cluster.dispatch.futures.ChunkFuture`."""

    __slots__ = ("_indices", "results", "whole")

    def __init__(self, results: "MapResults", indices: Sequence[int], whole: "MapChunk | None" = None) -> None:
        self.results = results
        self._indices = indices
        self.whole = whole or self

    def part(self, first: int, last: int) -> "MapChunk":
        """Return the places of some of the tasks."""
        return MapChunk(self.results, self._indices[first:last], self.whole)

    def set_running_or_notify_cancel(self) -> bool:
        """Return True: a map is given up as a whole, not by the task."""
        return True

    def done(self) -> bool:
        """Tell whether all results are there."""
        return all(self.results.values[index] is not _WAITING for index in self._indices)

    def set_result(self, values: list[Any]) -> None:
        """Put the tasks' values in their places."""
        self.results.put_all(self._indices, values)

    def set_exception(self, error: BaseException | None) -> None:
        """Store the exception for all of them: iteration stops at the first."""
        for index in self._indices:
            if self.results.values[index] is _WAITING:
                self.results.put(index, (None, error))


class MapResults:
    """Results in the order of their tasks, as they come.

    Examples
    --------
    >>> from hpcml.cluster.map.results import MapResults
    >>> results = MapResults()
    >>> items = [results.new_item() for _ in range(3)]
    >>> for item, value in zip(reversed(items), "abc"):
    ...     item.set_result(value)
    >>> list(results.take(timeout=1))
    ['c', 'b', 'a']
    """

    def __init__(self) -> None:
        self.values: list[Any] = []
        self.filled = 0.0  # when the last of them came
        self._awaited = -1
        self._filled = threading.Condition()  # protects _awaited against the check before a wait

    def new_item(self) -> MapItem:
        """Return the place of the next task."""
        self.values.append(_WAITING)
        return MapItem(self, len(self.values) - 1)

    def reserve(self, length: int) -> range:
        """Return the places of the next tasks."""
        first = len(self.values)
        self.values += [_WAITING] * length
        return range(first, first + length)

    def put_all(self, indices: Sequence[int], values: Sequence[Any]) -> None:
        """Fill several places; see `put`."""
        for index, value in zip(indices, values, strict=True):
            self.values[index] = (value, None)
        self.filled = time.monotonic()
        if self._awaited in indices:
            with self._filled:
                self._filled.notify()

    def put(self, index: int, result: tuple[Any, BaseException | None]) -> None:
        """Fill a place; the taker is woken only when it waits for just this one."""
        self.values[index] = result
        self.filled = time.monotonic()
        if self._awaited == index:
            with self._filled:
                self._filled.notify()

    def take(self, timeout: float | None) -> Iterator[Any]:
        """Return an iterator over the values, in order, that raises what a task raised.

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
            yield self._pop(index)  # by no name here: the caller alone has the value now

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
