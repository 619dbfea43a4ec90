"""A Cluster as joblib's backend sees it."""

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any

from hpcml.errors import HpcmlError
from hpcml.session import Session
from hpcml.store import CallBook
from hpcml.task import Batch, Call, pack_batch

__all__ = ["Batches"]


class Batches:
    """Carries joblib's batches to the workers of a session; a `hpcml.joblib_backend.BatchExecutor`.

    Parameters
    ----------
    max_nbytes
        The limit for data where joblib sets none of its own; see `hpcml.Cluster`.
    """

    def __init__(self, session: Session, max_nbytes: int | None) -> None:
        self._session, self._max_nbytes = session, max_nbytes

    @property
    def slots(self) -> int:
        """How many tasks run at once."""
        return self._session.workers.slots

    def open_book(self, max_nbytes: int | None, private: bool) -> CallBook:
        """Return what notes the data of one call of Parallel; -1 stands for the Cluster's own limit."""
        limit = self._max_nbytes if max_nbytes == -1 else max_nbytes
        return CallBook(self._session.store, limit, private)

    def submit_batch(
        self,
        batch: Batch,
        group: str,
        width: int,
        book: CallBook,
        callback: "Callable[[Future[Any]], object]",
    ) -> "Future[Any]":
        """Queue a batch, at most `width` of its group at once; `callback` is called with its future."""
        call: Call | HpcmlError
        try:
            call = pack_batch(batch, group, None if width >= self.slots else width, book.pack)
        except HpcmlError as error:
            call = error
        return self._session.dispatcher.submit([call], lambda: _future_with(callback))[0]

    def abandon(self, futures: "Iterable[Future[Any]]") -> None:
        """Give up `futures` and free their workers."""
        self._session.dispatcher.abandon(futures)

    def expect(self, group: str, tasks: int) -> None:
        """Tell the progress display that so many tasks of `group` are about to be submitted."""
        self._session.monitor.expect(group, tasks)


def _future_with(callback: "Callable[[Future[Any]], object]") -> "Future[Any]":
    future: Future[Any] = Future()
    future.add_done_callback(callback)
    return future
