"""The results of a ``map``: one object for all of them, instead of a Future each.

A `concurrent.futures.Future` costs as much time as a short task's whole journey, in a driver that has to
feed all slots. Here the dispatcher thread fills `MapResults`, and the thread that called ``map`` empties it.
"""

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import FunctionType
from typing import Any

from hpcml.arrays import Array
from hpcml.broadcast import Broadcast
from hpcml.calls import Calls, Item
from hpcml.chunks import chunk_lengths
from hpcml.dispatch import Dispatcher
from hpcml.frames import FRAME_SECONDS, FutureLike
from hpcml.granularity import note_map, note_short
from hpcml.short_calls import call_here, stay_here
from hpcml.task import Call, Known, name_of

__all__ = ["MapChunk", "MapItem", "MapResults", "Mapping"]

_WAITING = object()
_SHARED = {int, float, str, bytes, bool, type(None), Broadcast, FunctionType, type}  # nothing changes these
LEARNING = 0.05  # seconds that a map waits for its first results, to see whether its tasks are short


class MapItem:
    """One task's place in the results; what the dispatcher asks of a future."""

    __slots__ = ("index", "results")

    def __init__(self, results: "MapResults", index: int) -> None:
        self.results, self.index = results, index

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
    """The places of several tasks that travel as one; see `hpcml.frames.ChunkFuture`."""

    __slots__ = ("_indices", "results", "whole")

    def __init__(self, results: "MapResults", indices: Sequence[int], whole: "MapChunk | None" = None) -> None:
        self.results, self._indices, self.whole = results, indices, whole or self

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
        for index, value in zip(self._indices, values, strict=True):
            self.results.put(index, (value, None))

    def set_exception(self, error: BaseException | None) -> None:
        """Put what the first of them raised in all places: nobody takes the others after it."""
        for index in self._indices:
            if self.results.values[index] is _WAITING:
                self.results.put(index, (None, error))


class MapResults:
    """Results in the order of their tasks, as they come.

    Examples
    --------
    >>> from hpcml.mapping import MapResults
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
            value, error = self.values[index]
            self.values[index] = (None, None)  # the caller has it now
            if error is not None:
                raise error
            yield value

    def _wait(self, index: int, end: float | None) -> None:
        with self._filled:
            self._awaited = index
            left = None if end is None else max(end - time.monotonic(), 0)
            if not self._filled.wait_for(lambda: self.values[index] is not _WAITING, left):
                raise TimeoutError(f"result {index + 1} of {len(self.values)} did not come in time")


class Mapping:
    """The calls of one map: first one for each slot; then, when it is known what one takes, short ones in chunks.

    Parameters
    ----------
    tuples
        The arguments of each call.
    group
        See `hpcml.task.Call`.
    """

    def __init__(
        self, dispatcher: Dispatcher, calls: Calls, function: Callable[..., Any], tuples: Sequence[Any], group: str
    ) -> None:
        self._dispatcher, self._calls, self._function = dispatcher, calls, function
        self._tuples, self._group = tuples, group
        self._name, self._slots, self._began, self._here = name_of(function), 1, 0.0, 0
        self.results = MapResults()
        self.futures: list[FutureLike] = []

    def call_here(self) -> int:
        """Call the function here where that takes less time than sending its calls; return how many are left."""
        seconds = self._dispatcher.seconds(self._group, self._name)
        if seconds is not None and stay_here(self._function, self._name, seconds, self._tuples):
            packed, seeds = self._calls.pack_function(self._function, travels=1), hasattr(self._function, "seeds")
            if isinstance(packed, bytes):
                values, spent = call_here(self._name, packed, self._tuples, seconds, seeds)
                self.results.values += [(value, None) for value in values]
                if spent > 2 * seconds:
                    self._dispatcher.note_seconds(self._name, spent)
                note_short(self._name)
        self._here = len(self.results.values)
        return len(self._tuples) - self._here

    def submit(self, slots: int) -> None:
        """Submit the calls that are left, for so many slots."""
        if 0 < self._here == len(self._tuples):
            return
        name, self._slots, self._began = self._name, slots, time.monotonic()
        self._calls.seconds = self._dispatcher.seconds(self._group, name)
        if self._calls.seconds is None:
            first = self._tuples[self._here : self._here + slots]
            self._submit(self._one(args, [self.results.new_item()]) for args in first)
            until = time.monotonic() + LEARNING if len(self._tuples) > self._here + slots else 0.0
            while self._calls.seconds is None and time.monotonic() < until:
                time.sleep(0.001)
                self._calls.seconds = self._dispatcher.seconds(self._group, name)
        self._submit(self._rest(slots))

    def take(self, timeout: float | None) -> Iterator[Any]:
        """Return an iterator over the results; what is not there when the caller stops is given up."""
        if 0 < self._here == len(self._tuples):
            return (value for value, _ in self.results.values)
        return self._take(self.results.take(timeout))

    def _take(self, results: Iterator[Any]) -> Iterator[Any]:
        try:
            yield from results
        finally:
            left = [future for future in self.futures if not future.done()]
            if left:
                self._dispatcher.abandon(left)
        seconds = self._dispatcher.seconds(self._group, self._name)
        if seconds is not None and self.futures:
            wall = self.results.filled - self._began
            note_map(self._name, len(self.results.values) - self._here, seconds, wall, self._slots)

    def _submit(self, work: Iterator[Call | Known]) -> None:
        given = itertools.count(len(self.futures))
        self._dispatcher.submit(work, lambda: self.futures[next(given)])

    def _one(self, args: Any, items: Sequence[FutureLike]) -> Call | Known:
        self.futures += items
        return self._calls.make(self._function, args, {}, self._group, travels=len(self._tuples))

    def _rest(self, slots: int) -> Iterator[Call | Known]:
        """Yield the calls that have no place in the results yet."""
        end = len(self.results.values)
        for length in chunk_lengths(self._calls.seconds, len(self._tuples) - end, slots, FRAME_SECONDS):
            begin, end = end, end + length
            while begin < end:
                piece = self._tuples[begin:end]
                piece = piece[: _apart(piece, self._calls.book.limit)]
                begin += len(piece)
                items = [self.results.new_item() for _ in piece]
                if len(piece) == 1:
                    yield self._one(piece[0], items)
                else:
                    yield from self._chunk(piece, items)

    def _chunk(self, piece: Sequence[Any], items: Sequence[MapItem]) -> Iterator[Call | Known]:
        """Yield several calls as one, and what is known of some of them."""
        calls: list[Item] = [(self._function, args, {}) for args in piece]
        known, chunk = self._calls.make_chunk(self._function, calls, self._group, travels=len(self._tuples))
        for item, one in zip(items, known, strict=True):
            if one is not None:
                self.futures.append(item)
                yield one
        if chunk is not None:
            left = [item.index for item, one in zip(items, known, strict=True) if one is None]
            self.futures.append(MapChunk(self.results, left))
            yield chunk


def _apart(tuples: Sequence[Any], limit: float) -> int:
    """Return how many calls, from the first on, have no object in common that one could change for another."""
    seen: set[int] = set()
    for number, args in enumerate(tuples):
        for arg in args:
            kind = type(arg)
            if kind in _SHARED or (isinstance(arg, Array) and arg.nbytes > limit):
                continue
            if id(arg) in seen:
                return max(number, 1)
            seen.add(id(arg))
    return len(tuples)
