"""The results of a ``map``: one object for all of them, instead of a Future each.

To make a `concurrent.futures.Future` takes as long as to send a short task, in a driver that has to feed all
slots. Here the dispatcher thread fills `MapResults`, and the thread that called ``map`` empties it.
"""

import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from hpcml.arrays import Array
from hpcml.calls import Calls, Item
from hpcml.chunks import chunk_lengths, join_calls
from hpcml.dispatch import Dispatcher
from hpcml.frames import FRAME_SECONDS, FutureLike
from hpcml.granularity import note_map
from hpcml.task import Call, Known, name_of

__all__ = ["MapChunk", "MapItem", "MapResults", "Mapping"]

_WAITING = object()
_VIEWS = tuple(map(type, (dict().keys(), dict().values(), dict().items())))  # noqa: C408
_AT_REST = {list, tuple, range, str, bytes, dict, set, frozenset, Array, itertools.repeat, *_VIEWS}
SOME = 2  # calls of a map whose number is not known yet
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


class Mapping:
    """The calls of one map: first one for each slot; then, when it is known what one takes, short ones in chunks.

    Parameters
    ----------
    iterables
        Where the arguments are taken from, until the shortest ends. The arguments of a call are packed before
        the next ones are asked for, unless these are in a container: a generator may change what it has given.
    group
        See `hpcml.task.Call`.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        calls: Calls,
        function: Callable[..., Any],
        iterables: Sequence[Iterable[Any]],
        group: str,
    ) -> None:
        self._dispatcher, self._calls, self._function, self._group = dispatcher, calls, function, group
        self._name, self._slots, self._began, self._disturbances = name_of(function), 1, 0.0, 0
        tuples = zip(*iterables, strict=False)
        at_rest = all(type(iterable) in _AT_REST for iterable in iterables)
        self._sends = SOME  # how often the function is sent
        self._work: list[Any] = list(tuples) if at_rest else [self._make(args) for args in tuples]
        self._sends = len(self._work)
        self.results = MapResults()
        self.futures: list[FutureLike] = []

    def __len__(self) -> int:
        return len(self._work)

    def _make(self, work: Any) -> Call | Known:
        """Return one call, packed."""
        if isinstance(work, Call | Known):
            return work
        return self._calls.make(self._function, work, {}, self._group, travels=self._sends)

    def submit(self, slots: int) -> None:
        """Submit the calls, for so many slots."""
        name, self._slots, self._began = self._name, slots, time.monotonic()
        self._disturbances = self._dispatcher.disturbances
        self._calls.seconds = self._dispatcher.seconds(self._group, name)
        if self._calls.seconds is None:
            self._submit(self._one(work, self.results.new_item()) for work in self._work[:slots])
            until = time.monotonic() + LEARNING if len(self._work) > slots else 0.0
            while self._calls.seconds is None and time.monotonic() < until:
                time.sleep(0.001)
                self._calls.seconds = self._dispatcher.seconds(self._group, name)
        self._submit(self._rest(slots))
        self._work.clear()

    def take(self, timeout: float | None) -> Iterator[Any]:
        """Return an iterator over the results; those that are missing when the caller stops are given up."""
        return self._take(self.results.take(timeout))

    def _take(self, results: Iterator[Any]) -> Iterator[Any]:
        try:
            yield from results
        finally:
            left = [future for future in self.futures if not future.done()]
            if left:
                self._dispatcher.abandon(left)
            else:
                self._note()

    def _note(self) -> None:
        """Note what the map has taken, unless workers were replaced meanwhile."""
        seconds = self._dispatcher.seconds(self._group, self._name)
        if seconds is None or not self.futures or self._dispatcher.disturbances != self._disturbances:
            return
        note_map(self._name, len(self.results.values), seconds, self.results.filled - self._began, self._slots)

    def _submit(self, work: Iterator[Call | Known]) -> None:
        given = itertools.count(len(self.futures))
        self._dispatcher.submit(work, lambda: self.futures[next(given)])

    def _one(self, work: Any, item: MapItem) -> Call | Known:
        self.futures.append(item)
        return self._make(work)

    def _rest(self, slots: int) -> Iterator[Call | Known]:
        """Yield the calls that have no place in the results yet."""
        end = len(self.results.values)
        for length in chunk_lengths(self._calls.seconds, len(self._work) - end, slots, FRAME_SECONDS):
            begin, end = end, end + length
            items = [self.results.new_item() for _ in range(length)]
            if length == 1:
                yield self._one(self._work[begin], items[0])
            else:
                yield from self._chunk(self._work[begin:end], items)

    def _chunk(self, piece: Sequence[Any], items: Sequence[MapItem]) -> Iterator[Call | Known]:
        """Yield several calls as one, and what is known of some of them."""
        if isinstance(piece[0], Call | Known):
            known = [one if isinstance(one, Known) else None for one in piece]
            new = [one for one in piece if isinstance(one, Call)]
            chunk = join_calls(new) if new else None
        else:
            calls: list[Item] = [(self._function, args, {}) for args in piece]
            known, chunk = self._calls.make_chunk(self._function, calls, self._group, travels=self._sends)
        for item, one in zip(items, known, strict=True):
            if one is not None:
                self.futures.append(item)
                yield one
        if chunk is not None:
            left = [item.index for item, one in zip(items, known, strict=True) if one is None]
            self.futures.append(MapChunk(self.results, left))
            yield chunk
