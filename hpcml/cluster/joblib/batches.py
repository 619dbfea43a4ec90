"""Batches of joblib, sent to the workers of a Cluster."""

import queue
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

from hpcml.cluster.calls import Calls, Item, is_uniform
from hpcml.cluster.cluster import Cluster
from hpcml.cluster.dispatch.futures import FutureLike, resolve
from hpcml.cluster.dispatch.sizes import chunk_length
from hpcml.cluster.joblib.error_score import fallback
from hpcml.cluster.joblib.futures import BatchFuture
from hpcml.cluster.session import Session
from hpcml.data.call_data import CallData
from hpcml.data.envelope import Call, RecordedOutcome
from hpcml.data.staging.store import StagedContent
from hpcml.errors import DataError, TaskError, shut_down_error

__all__ = ["Batches", "batches_of"]

CLUSTER_LIMIT = -1
"""Stands for a Cluster's own limit of data, where joblib has set none."""

Pending = list[tuple[StagedContent, memoryview]]
Work = Sequence[tuple[Call | RecordedOutcome | BaseException, FutureLike]]  # each with its future

_of_clusters: "weakref.WeakKeyDictionary[Cluster, Batches]" = weakref.WeakKeyDictionary()
_making = threading.Lock()  # protects _of_clusters: several threads may call Parallel first


def batches_of(cluster: Cluster) -> "Batches":
    """Return the `Batches` of a Cluster; the first call makes it."""
    with _making:
        batches = _of_clusters.get(cluster)
        if batches is None:
            batches = _of_clusters[cluster] = Batches(cluster._session, cluster._max_nbytes)
            cluster._on_shutdown(batches.close)
    return batches


class Batches:
    """Sends joblib's batches to the workers of a session.

    Parameters
    ----------
    max_nbytes
        The limit for data where joblib sets none of its own; see `hpcml.Cluster`.
    """

    def __init__(self, session: Session, max_nbytes: int | None) -> None:
        self._session = session
        self._max_nbytes = max_nbytes
        self._waiting: queue.SimpleQueue[tuple[Pending, Work, BatchFuture] | None] = queue.SimpleQueue()
        self._sender = threading.Thread(target=self._send, name="hpcml-data", daemon=True)
        self._sender.start()
        self._abandoned: weakref.WeakSet[BatchFuture] = weakref.WeakSet()
        self._closed = False

    @property
    def slots(self) -> int:
        """Number of tasks that run at once."""
        return self._session.workers.slots

    def open_call(self, max_nbytes: int | None, private: bool, wrap: Callable[[Any], Any] | None = None) -> Calls:
        """Return the `Calls` of one Parallel; `max_nbytes` may be `CLUSTER_LIMIT`."""
        limit = self._max_nbytes if max_nbytes == CLUSTER_LIMIT else max_nbytes
        data = CallData(self._session.store, limit, private)
        return Calls(data, self._session.run_journal, at_once=False, wrap=wrap)

    def submit_batch(
        self,
        batch: Iterable[Item],
        group: str,
        width: int,
        calls: Calls,
        callback: "Callable[[Future[Any]], object]",
    ) -> "Future[Any]":
        """Queue a batch, at most `width` frames of its group at once; `callback` is called with its future.

        Data that must be on the nodes first is sent by another thread: joblib calls this in the dispatcher thread,
        which resolves all futures of the Cluster.
        """
        if self._closed:
            raise shut_down_error()
        limit = None if width >= self.slots else width
        batch = list(batch)
        future = BatchFuture(len(batch))
        future.add_done_callback(callback)
        calls.seconds = self._session.dispatcher.seconds(group) or calls.seconds
        length = chunk_length(calls.seconds, len(batch))
        length = length if length == 1 or is_uniform(batch) else 1
        make = partial(calls.make_chunk, group=group, width=limit)
        made = _chunks(batch, length, future, make) if length > 1 else []
        for place, call in enumerate(batch):
            result_for = fallback(*call)
            if result_for is not None:
                future.fallbacks[place] = result_for
        for place, (function, args, kwargs) in enumerate(batch) if length == 1 else ():
            try:
                made.append((calls.make(function, args, kwargs, group, width=limit), future.call(place)))
            except Exception as error:  # joblib would wait for ever
                made.append((error, future.call(place)))
        if any(isinstance(call, Call) and call.needs_staging for call, _ in made):
            self._waiting.put((calls.data.pop_pending(), made, future))
        else:
            self._submit(made)
        return future

    def _submit(self, work: Work) -> None:
        futures = iter([future for _, future in work])
        self._session.dispatcher.submit((call for call, _ in work), lambda: next(futures))

    def _send(self) -> None:
        while (order := self._waiting.get()) is not None:
            self._send_first(*order)
            del order  # it holds data

    def _send_first(self, pending: Pending, work: Work, future: BatchFuture) -> None:
        """Put data on the nodes and queue the calls that need it, unless their batch was abandoned."""
        try:
            if future in self._abandoned:
                raise TaskError("this task was abandoned before its data was sent")
            self._session.store.put(pending)
            if any(isinstance(call, Call) and call.needs_staging for call, _ in work):
                raise DataError("data that this task shares with one before it was not put on the nodes")
            self._submit(work)
            if future in self._abandoned:  # while the data was sent
                self._session.dispatcher.abandon(future.parts)
        except BaseException as error:
            for content, _ in pending:
                content.lost = not content.is_staged
            resolve(future, error=error)

    def close(self, wait: bool) -> None:
        """Take no more batches; with `wait`, return when all data is sent and all batches are queued."""
        self._closed = True
        self._waiting.put(None)
        if wait:
            self._sender.join()

    def abandon(self, futures: "Iterable[Future[Any]]") -> None:
        """Give up `futures` and free their workers."""
        batches = [future for future in futures if isinstance(future, BatchFuture)]
        self._abandoned.update(batches)
        self._session.dispatcher.abandon(part for future in batches for part in future.parts)

    def begin_call(self, group: str, tasks: int | None) -> None:
        """Announce to the progress that `tasks` tasks of `group` (None: unknown) are about to be submitted."""
        self._session.begin_call(group, "joblib.Parallel", tasks)


def _chunks(
    batch: Sequence[Item],
    length: int,
    future: BatchFuture,
    make: Callable[..., tuple[list[RecordedOutcome | None], Call | None]],
) -> list[tuple[Call | RecordedOutcome | BaseException, FutureLike]]:
    """Return a batch as chunks of up to `length` calls, made by `make`; recorded calls are by themselves."""
    made: list[tuple[Call | RecordedOutcome | BaseException, FutureLike]] = []
    for start in range(0, len(batch), length):
        items = batch[start : start + length]
        try:
            recorded, chunk = make(batch[0][0], items)
        except Exception as error:
            made.append((error, future.call(start)))
            continue
        made += [(one, future.call(start + number)) for number, one in enumerate(recorded) if one is not None]
        if chunk is not None:
            left = [start + number for number, one in enumerate(recorded) if one is None]
            made.append((chunk, future.chunk(left)))
    return made
