"""Futures as the dispatcher sees them, and how it resolves them."""

import logging
from collections.abc import Sequence
from typing import Any, Protocol

from hpcml.data.envelope import RecordedOutcome, TaskObserver

__all__ = ["CallFuture", "ChunkFuture", "FutureLike", "Results", "resolve", "resolve_recorded"]

log = logging.getLogger("hpcml")


class FutureLike(Protocol):
    """The part of a future that the dispatcher uses: of `concurrent.futures.Future`, and of those below."""

    def set_running_or_notify_cancel(self) -> bool:
        """Return False when the task was cancelled and must not run."""

    def done(self) -> bool:
        """Return whether the future has its result or was cancelled."""

    def set_result(self, value: Any, /) -> None:
        """Take the value that the task returned."""

    def set_exception(self, error: BaseException | None, /) -> None:
        """Take the exception that the task raised."""


class Results(Protocol):
    """The results of many calls, each at a place of its own; futures of the calls fill the places."""

    def is_wanted(self) -> bool:
        """Return whether anyone still waits for the results."""

    def has(self, place: int) -> bool:
        """Return whether the call at `place` has ended."""

    def put(self, places: Sequence[int], values: Sequence[Any]) -> None:
        """Take the values that calls have returned."""

    def fail(self, places: Sequence[int], error: BaseException | None) -> None:
        """Take the exception that one of the calls at `places` has raised."""


class _PlacedFuture:
    """The future of calls whose results have places in a `Results`.

    Parameters
    ----------
    whole
        The future that this is a part of; by default this one.
    """

    __slots__ = ("_whole", "places", "results")

    def __init__(self, results: Results, places: Sequence[int], whole: "_PlacedFuture | None" = None) -> None:
        self.results = results
        self.places = places
        self._whole = whole

    @property
    def whole(self) -> "_PlacedFuture":
        """The future that was submitted: this one, or the one that this is a part of."""
        return self if self._whole is None else self._whole

    def set_running_or_notify_cancel(self) -> bool:
        """Return whether anyone still waits: results are given up as a whole, not call by call."""
        return self.results.is_wanted()

    def done(self) -> bool:
        """Return whether all of the calls have ended."""
        return all(map(self.results.has, self.places))

    def set_exception(self, error: BaseException | None) -> None:
        """Put the error of a call in the places."""
        self.results.fail(self.places, error)


class CallFuture(_PlacedFuture):
    """The future of one call."""

    __slots__ = ()

    def set_result(self, value: Any) -> None:
        """Put the call's value in its place."""
        self.results.put(self.places, (value,))


class ChunkFuture(_PlacedFuture):
    """The future of a chunk of calls: its result is the list of theirs."""

    __slots__ = ()

    def part(self, first: int, last: int) -> "ChunkFuture":
        """Return the future of the calls from `first` up to `last`, counted in this chunk."""
        return ChunkFuture(self.results, self.places[first:last], self.whole)

    def set_result(self, values: Sequence[Any]) -> None:
        """Put the calls' values in their places."""
        self.results.put(self.places, values)


def resolve(future: FutureLike, value: Any = None, error: BaseException | None = None) -> None:
    """Resolve a future; an exception of its callbacks is logged, SystemExit included."""
    try:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(value)
    except BaseException:
        log.exception("a callback of a future failed")


def resolve_recorded(
    future: FutureLike, recorded: RecordedOutcome | BaseException, observer: TaskObserver
) -> None:
    """Resolve the future of a call whose outcome is recorded already, or which has failed before it was sent."""
    if isinstance(recorded, BaseException):
        resolve(future, error=recorded)
    else:
        observer.restored(recorded)
        resolve(future, recorded.outcome.value)
