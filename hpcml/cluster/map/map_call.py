"""Calls of a ``map``: packed, and sent one by one or in chunks."""

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from hpcml.cluster.calls import Calls, Item
from hpcml.cluster.dispatch.chunks import join_calls
from hpcml.cluster.dispatch.dispatcher import Dispatcher
from hpcml.cluster.dispatch.futures import CallFuture, ChunkFuture, FutureLike
from hpcml.cluster.dispatch.sizes import FRAME_SECONDS, chunk_lengths
from hpcml.cluster.map.granularity import note_map
from hpcml.cluster.map.results import MapResults
from hpcml.data.arrays import Array
from hpcml.data.envelope import Call, RecordedOutcome, name_of

__all__ = ["MapCall"]

Work = tuple[Any, ...] | Call | RecordedOutcome  # arguments, or a call that is packed already

_VIEWS = tuple(map(type, (dict().keys(), dict().values(), dict().items())))  # noqa: C408
_CONTAINERS = {list, tuple, range, str, bytes, dict, set, frozenset, Array, itertools.repeat, *_VIEWS}
RESTART_SECONDS = 10.0  # in which workers that were ended are replaced
UNKNOWN_SENDS = 2  # times that a function is sent, while the number of calls is unknown
FIRST_RESULTS_SECONDS = 0.05  # that a map waits for its first results, to measure how long its tasks run


class MapCall:
    """Calls of one map: first one for each slot, to measure their seconds; then short ones in chunks.

    Parameters
    ----------
    iterables
        Iterables of the arguments, until the shortest ends. The arguments of a call are packed before the next are
        taken, unless all iterables are containers: a generator may change an object after it has yielded it.
    group
        See `hpcml.data.envelope.Call`.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        calls: Calls,
        function: Callable[..., Any],
        iterables: Sequence[Iterable[Any]],
        group: str,
    ) -> None:
        self._dispatcher = dispatcher
        self._calls = calls
        self._function = function
        self._group = group
        self._name = name_of(function)
        self._slots = 1
        self._began = 0.0
        tuples = zip(*iterables, strict=False)
        all_containers = all(type(iterable) in _CONTAINERS for iterable in iterables)
        self._sends = UNKNOWN_SENDS  # of the function
        self._work: list[Work] = list(tuples) if all_containers else [self._make(args) for args in tuples]
        self._sends = len(self._work)
        self.results = MapResults()
        self.futures: list[FutureLike] = []

    def __len__(self) -> int:
        return len(self._work)

    def _make(self, work: Work) -> Call | RecordedOutcome:
        """Return one call, packed."""
        if isinstance(work, Call | RecordedOutcome):
            return work
        return self._calls.make(self._function, work, {}, self._group, sends=self._sends)

    def submit(self, slots: int) -> None:
        """Submit the calls to `slots` workers: all, or after Ctrl-C or an error none."""
        try:
            self._submit_all(slots)
        except BaseException:
            self._dispatcher.abandon(self.futures)
            raise

    def _submit_all(self, slots: int) -> None:
        self._slots = slots
        self._began = time.monotonic()
        self._calls.seconds = self._dispatcher.seconds(self._group, self._name)
        if self._calls.seconds is None:
            self._submit(self._one(work, self.results.new_call()) for work in self._work[:slots])
            until = time.monotonic() + FIRST_RESULTS_SECONDS if len(self._work) > slots else 0.0
            while self._calls.seconds is None and time.monotonic() < until:
                time.sleep(0.001)
                self._calls.seconds = self._dispatcher.seconds(self._group, self._name)
        self._submit(self._rest(slots))
        self._work.clear()

    def take(self, timeout: float | None) -> Iterator[Any]:
        """Return an iterator over the results; when the caller stops early, the remaining tasks are given up."""
        return self._take(self.results.take(timeout))

    def _take(self, results: Iterator[Any]) -> Iterator[Any]:
        try:
            yield from results
        finally:
            left = [future for future in self.futures if not future.done()]
            if left:
                self._dispatcher.abandon(left)
            else:
                self._note_seconds()

    def _note_seconds(self) -> None:
        """Note the seconds that the map has taken, unless workers were replaced meanwhile or shortly before."""
        seconds = self._dispatcher.seconds(self._group, self._name)
        if (
            seconds is None
            or not self.futures
            or self._dispatcher.last_worker_loss > self._began - RESTART_SECONDS
        ):
            return
        note_map(self._name, len(self.results.values), seconds, self.results.filled - self._began, self._slots)

    def _submit(self, work: Iterator[Call | RecordedOutcome]) -> None:
        given = itertools.count(len(self.futures))
        self._dispatcher.submit(work, lambda: self.futures[next(given)])

    def _one(self, work: Work, future: CallFuture) -> Call | RecordedOutcome:
        self.futures.append(future)
        return self._make(work)

    def _rest(self, slots: int) -> Iterator[Call | RecordedOutcome]:
        """Yield the calls that are not submitted yet."""
        end = len(self.results.values)
        for length in chunk_lengths(self._calls.seconds, len(self._work) - end, slots, FRAME_SECONDS):
            begin = end
            end = begin + length
            if length == 1:
                yield self._one(self._work[begin], self.results.new_call())
            else:
                yield from self._chunk(self._work[begin:end], self.results.reserve(length))

    def _chunk(self, piece: Sequence[Work], places: Sequence[int]) -> Iterator[Call | RecordedOutcome]:
        """Yield several calls as one; the recorded ones among them by themselves."""
        if isinstance(piece[0], Call | RecordedOutcome):
            recorded = [one if isinstance(one, RecordedOutcome) else None for one in piece]
            new = [one for one in piece if isinstance(one, Call)]
            chunk = join_calls(new) if new else None
        else:
            calls: list[Item] = [(self._function, args, {}) for args in piece]
            recorded, chunk = self._calls.make_chunk(self._function, calls, self._group, sends=self._sends)
        left = places
        if any(recorded):
            left = [place for place, one in zip(places, recorded, strict=True) if one is None]
            for place, one in zip(places, recorded, strict=True):
                if one is not None:
                    self.futures.append(CallFuture(self.results, (place,)))
                    yield one
        if chunk is not None:
            self.futures.append(ChunkFuture(self.results, left))
            yield chunk
