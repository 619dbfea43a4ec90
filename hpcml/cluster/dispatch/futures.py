"""Futures as the dispatcher sees them, and how it resolves them."""

import logging
from typing import Any, Protocol

from hpcml.data.envelope import RecordedOutcome, TaskObserver

__all__ = ["ChunkFuture", "FutureLike", "resolve", "resolve_recorded"]

log = logging.getLogger("hpcml")


class FutureLike(Protocol):
    """The part of a future that the dispatcher uses: of `concurrent.futures.Future`, and of a map's `MapItem`."""

    def set_running_or_notify_cancel(self) -> bool:
        """Return False when the task was cancelled and must not run."""

    def done(self) -> bool:
        """Tell whether it has its result or was cancelled."""

    def set_result(self, value: Any, /) -> None:
        """Take what the task returned."""

    def set_exception(self, error: BaseException | None, /) -> None:
        """Take what the task raised."""


class ChunkFuture(FutureLike, Protocol):
    """The future of a chunk: its result is a list."""

    def part(self, first: int, last: int) -> "ChunkFuture":
        """Return the future of the calls from `first` up to `last`, counted in this chunk."""


def resolve(future: FutureLike, value: Any = None, error: BaseException | None = None) -> None:
    """Resolve a future; what its callbacks raise is logged, SystemExit included."""
    try:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(value)
    except BaseException:
        log.exception("a callback of a future failed")


def resolve_recorded(future: FutureLike, known: RecordedOutcome | BaseException, watcher: TaskObserver) -> None:
    """Resolve the future of a call with what is known of it beforehand."""
    if isinstance(known, BaseException):
        resolve(future, error=known)
    else:
        watcher.recalled(known)
        resolve(future, known.outcome.value)
