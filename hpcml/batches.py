"""A Cluster as joblib's backend sees it."""

import queue
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import Any

from hpcml.callbook import CallBook, waits
from hpcml.calls import Calls
from hpcml.error_score import fallback
from hpcml.errors import DataError, TaskError, closed
from hpcml.frames import settle
from hpcml.gathered import BatchFuture
from hpcml.session import Session
from hpcml.store import Entry
from hpcml.task import Call, Known

__all__ = ["Batches"]

Pending = list[tuple[Entry, memoryview]]
Batch = Iterable[tuple[Callable[..., Any], Sequence[Any], dict[str, Any]]]
Work = Sequence[Call | Known | BaseException]


def _waits(call: Call) -> bool:
    return waits(call.function) or waits(call.arguments)


class Batches:
    """Carries joblib's batches to the workers of a session; a `hpcml.joblib_backend.BatchExecutor`.

    Parameters
    ----------
    max_nbytes
        The limit for data where joblib sets none of its own; see `hpcml.Cluster`.
    """

    def __init__(self, session: Session, max_nbytes: int | None) -> None:
        self._session, self._max_nbytes = session, max_nbytes
        self._waiting: queue.SimpleQueue[tuple[Pending, Work, BatchFuture] | None] = queue.SimpleQueue()
        self._sender = threading.Thread(target=self._send, name="hpcml-data", daemon=True)
        self._sender.start()
        self._abandoned: weakref.WeakSet[BatchFuture] = weakref.WeakSet()
        self._closed = False

    @property
    def slots(self) -> int:
        """How many tasks run at once."""
        return self._session.workers.slots

    def open_call(
        self, max_nbytes: int | None, private: bool, wrap: "Callable[[Any], Any] | None" = None
    ) -> Calls:
        """Return what makes the calls of one Parallel; a limit of -1 stands for the Cluster's own."""
        limit = self._max_nbytes if max_nbytes == -1 else max_nbytes
        book = CallBook(self._session.store, limit, private)
        return Calls(book, self._session.ledger, book.dump, wrap)

    def submit_batch(
        self,
        batch: Batch,
        group: str,
        width: int,
        calls: Calls,
        callback: "Callable[[Future[Any]], object]",
    ) -> "Future[Any]":
        """Queue a batch, at most `width` frames of its group at once; `callback` is called with its future.

        Data that must be sent first is sent in a thread of its own: this is called in the dispatcher's, for
        which all results of the Cluster wait.
        """
        if self._closed:
            raise closed()
        limit = None if width >= self.slots else width
        made: list[Call | Known | BaseException] = []
        batch = list(batch)
        for function, args, kwargs in batch:
            try:
                made.append(calls.make(function, args, kwargs, group, width=limit))
            except Exception as error:  # joblib would wait for ever
                made.append(error)
        future = BatchFuture(len(made))
        future.add_done_callback(callback)
        for item, call in zip(future.items, batch, strict=True):
            item.fallback = fallback(*call)
        if any(isinstance(call, Call) and _waits(call) for call in made):
            self._waiting.put((calls.book.detach(), made, future))
        else:
            self._submit(made, future)
        return future

    def _submit(self, calls: Work, future: BatchFuture) -> None:
        items = iter(future.items)
        self._session.dispatcher.submit(calls, lambda: next(items))

    def _send(self) -> None:
        while (order := self._waiting.get()) is not None:
            self._send_first(*order)
            del order  # it holds data

    def _send_first(self, pending: Pending, calls: Work, future: BatchFuture) -> None:
        """Put data on the nodes and queue the calls that need it, unless nobody waits for them any longer."""
        try:
            if future in self._abandoned:
                raise TaskError("this task was abandoned before its data was sent")
            self._session.store.put(pending)
            if any(isinstance(call, Call) and _waits(call) for call in calls):
                raise DataError("data that this task shares with one before it was not put on the nodes")
            self._submit(calls, future)
            if future in self._abandoned:  # meanwhile
                self._session.dispatcher.abandon(future.items)
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
        given_up = [future for future in futures if isinstance(future, BatchFuture)]
        self._abandoned.update(given_up)
        self._session.dispatcher.abandon(item for future in given_up for item in future.items)

    def expect(self, group: str, tasks: int) -> None:
        """Tell the progress display that so many tasks of `group` are about to be submitted."""
        self._session.monitor.expect(group, tasks)
