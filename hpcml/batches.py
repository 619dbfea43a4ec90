"""A Cluster as joblib's backend sees it."""

import queue
import threading
import weakref
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any

from hpcml.callbook import CallBook, waits
from hpcml.errors import DataError, HpcmlError, TaskError, closed
from hpcml.frames import settle
from hpcml.session import Session
from hpcml.store import Entry
from hpcml.task import Batch, Call, pack_batch

__all__ = ["Batches"]

Pending = list[tuple[Entry, memoryview]]


class Batches:
    """Carries joblib's batches to the workers of a session; a `hpcml.joblib_backend.BatchExecutor`.

    Parameters
    ----------
    max_nbytes
        The limit for data where joblib sets none of its own; see `hpcml.Cluster`.
    """

    def __init__(self, session: Session, max_nbytes: int | None) -> None:
        self._session, self._max_nbytes = session, max_nbytes
        self._waiting: queue.SimpleQueue[tuple[Pending, Call, Future[Any]] | None] = queue.SimpleQueue()
        self._sender = threading.Thread(target=self._send, name="hpcml-data", daemon=True)
        self._sender.start()
        self._abandoned: weakref.WeakSet[Future[Any]] = weakref.WeakSet()
        self._closed = False

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
        """Queue a batch, at most `width` of its group at once; `callback` is called with its future.

        Data that must be sent first is sent in a thread of its own: this is called in the dispatcher's, for
        which all results of the Cluster wait.
        """
        if self._closed:
            raise closed()
        call: Call | HpcmlError
        try:
            call = pack_batch(batch, group, None if width >= self.slots else width, book.dump)
        except HpcmlError as error:
            call = error
        future: Future[Any] = Future()
        future.add_done_callback(callback)
        if isinstance(call, Call) and waits(call.arguments):
            self._waiting.put((book.detach(), call, future))
        else:
            self._session.dispatcher.submit([call], lambda: future)
        return future

    def _send(self) -> None:
        while (order := self._waiting.get()) is not None:
            self._send_first(*order)
            del order  # it holds data

    def _send_first(self, pending: Pending, call: Call, future: "Future[Any]") -> None:
        """Put data on the nodes and queue the call that needs it, unless nobody waits for it any longer."""
        try:
            if future in self._abandoned:
                raise TaskError("this task was abandoned before its data was sent")
            self._session.store.put(pending)
            if waits(call.arguments):
                raise DataError("data that this task shares with one before it was not put on the nodes")
            self._session.dispatcher.submit([call], lambda: future)
            if future in self._abandoned:  # meanwhile
                self._session.dispatcher.abandon([future])
        except BaseException as error:
            for entry, _ in pending:
                entry.lost = entry.held is None
            settle(future, error=error)

    def close(self, wait: bool) -> None:
        """Take no more batches; with `wait`, return when all data is sent and all batches are queued."""
        self._closed = True
        self._waiting.put(None)
        if wait:
            self._sender.join()

    def abandon(self, futures: "Iterable[Future[Any]]") -> None:
        """Give up `futures` and free their workers."""
        given_up = list(futures)
        self._abandoned.update(given_up)
        self._session.dispatcher.abandon(given_up)

    def expect(self, group: str, tasks: int) -> None:
        """Tell the progress display that so many tasks of `group` are about to be submitted."""
        self._session.monitor.expect(group, tasks)
