"""Server: takes items from a source, has them scored in micro-batches, and writes their results."""

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial

from hpcml.cluster.cluster import Cluster
from hpcml.errors import DataError, DataMissing, EngineError, HpcmlError, OutOfTime, WorkerDied
from hpcml.serving.batches import Batches
from hpcml.serving.decoding import pack_result
from hpcml.serving.follower import START_PAUSE_SECONDS, Follower, ReadyModel, Served
from hpcml.serving.items import Item, Source
from hpcml.serving.scoring import Scored, Scorer, score_items
from hpcml.serving.totals import Totals

__all__ = ["Server"]

log = logging.getLogger("hpcml")

READ_SECONDS = 0.2  # that a read waits for an item; the end of the server waits for it too
READ_AHEAD_BATCHES = 2  # for each slot
LONGEST_PAUSE_SECONDS = 0.5
DRAIN_SECONDS = 60.0
DEATHS = 2  # of workers under an item alone: the first may have another cause


class Server:
    """Server of a model, from `run` to `stop`.

    Parameters
    ----------
    served, scorer
        Of the model, and of the version that is in use at the start.
    source
        Of the items, and for their results.
    batches
        See `Batches`.
    interval
        Seconds between two lines about the items so far.
    print_line
        Prints such a line.

    Raises
    ------
    HpcmlError
        A worker cannot load the model.
    """

    def __init__(
        self,
        served: Served,
        scorer: Scorer,
        cluster: Cluster,
        source: Source,
        batches: Batches,
        *,
        interval: float = 10.0,
        print_line: Callable[[str], object] = print,
    ) -> None:
        self._cluster, self._source, self._batches = cluster, source, batches
        self._model = ReadyModel.of(scorer, cluster, START_PAUSE_SECONDS)
        self._inbox: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._in_flight = 0
        self._deaths: dict[str, int] = {}
        self._reading = threading.Event()
        self._drain_end = 0.0
        self._totals = Totals(interval, print_line)
        self._reader = threading.Thread(target=self._read, name="hpcml-reader", daemon=True)
        self._served = served

    def stop(self, reason: str) -> None:
        """Read no further item, and let `run` return when all that were read have results. Signal handlers may."""
        self._inbox.put(partial(self._begin_drain, reason))
        self._source.stop()

    def run(self) -> Totals:
        """Serve until `stop`; return the totals.

        Raises
        ------
        HpcmlError
            The source or the workers are gone; items without a result stay in the source.
        """
        self._reading.set()
        self._reader.start()
        put = self._inbox.put
        follower = Follower(
            self._served, self._cluster, self._model.version, lambda model: put(partial(self._swap, model))
        )
        try:
            while not self._has_ended():
                self._act()
                self._send()
                self._totals.print_due(self._model.version, len(self._batches) + self._in_flight)
        finally:
            self._drain_end = self._drain_end or time.monotonic()
            self._reading.set()
            self._source.stop()
            follower.close()
            self._reader.join(2 * READ_SECONDS)
        return self._totals

    def _has_ended(self) -> bool:
        if not self._drain_end or self._reader.is_alive() or not self._inbox.empty():
            return False
        left = len(self._batches) + self._in_flight
        if left and time.monotonic() > self._drain_end:
            raise HpcmlError(f"{left} items had no result {DRAIN_SECONDS:g} s after the signal: they stay there")
        return not left

    def _act(self) -> None:
        """Take the events that have come; wait for one, or for the time at which a batch is due."""
        now = time.monotonic()
        pause = self._batches.seconds_to_next(now, self._cluster.slots, self._in_flight)
        pause = LONGEST_PAUSE_SECONDS if pause is None else pause
        try:
            event = self._inbox.get(timeout=min(pause, LONGEST_PAUSE_SECONDS))
            while True:
                event()
                event = self._inbox.get_nowait()
        except queue.Empty:
            return

    def _read(self) -> None:
        """Read while there is room; the loop of the reader thread."""
        try:
            while not self._drain_end:
                if not self._reading.wait(READ_SECONDS):
                    continue
                items = self._source.read(self._batches.size, READ_SECONDS)
                if items:
                    self._inbox.put(partial(self._add, items))
        except BaseException as error:
            self._inbox.put(partial(self._fail, error))

    def _fail(self, error: BaseException) -> None:
        raise error

    def _add(self, items: Sequence[Item]) -> None:
        unread = [item for item in items if item.problem]
        if unread:
            version = self._model.version
            self._write(unread, [Scored(pack_result(one.id, version, error=one.problem), True) for one in unread])
        self._batches.add([item for item in items if not item.problem], time.monotonic())
        if len(self._batches) >= READ_AHEAD_BATCHES * self._batches.size * max(1, self._cluster.slots):
            self._reading.clear()

    def _swap(self, model: ReadyModel) -> None:
        log.info("version %s is used from now on", model.version)
        self._model.handle.close()  # batches that were sent with it still find it
        self._model = model

    def _begin_drain(self, reason: str) -> None:
        if not self._drain_end:
            log.info("%s: no further item is read", reason)
            self._drain_end = time.monotonic() + DRAIN_SECONDS
            self._reading.set()

    def _send(self) -> None:
        slots = max(1, self._cluster.slots)
        while items := self._batches.take(time.monotonic(), slots, self._in_flight, bool(self._drain_end)):
            self._submit(items)
        if len(self._batches) < self._batches.size * slots:
            self._reading.set()

    def _submit(self, items: list[Item]) -> None:
        contents = [(item.id, item.content) for item in items]
        future = self._cluster.submit(score_items, self._model.handle, self._model.key, contents)
        self._in_flight += 1
        future.add_done_callback(lambda done: self._inbox.put(partial(self._take, done, items)))

    def _take(self, future: "Future[list[Scored]]", items: list[Item]) -> None:
        self._in_flight -= 1
        error = future.exception()
        if error is None:
            self._write(items, future.result())
        elif isinstance(error, OutOfTime):
            self._begin_drain(str(error))
        elif isinstance(error, EngineError | DataError | DataMissing):
            raise error
        else:
            self._retry(items, error)

    def _retry(self, items: list[Item], error: BaseException) -> None:
        """Score the halves of a batch that ended its worker, or has too large a result.

        An item alone that ended its worker twice, or fails otherwise, has an error for its result.
        """
        if len(items) > 1:
            half = len(items) // 2
            self._submit(items[:half])
            self._submit(items[half:])
            return
        (item,) = items
        self._deaths[item.id] = self._deaths.get(item.id, 0) + 1
        if self._deaths[item.id] < DEATHS and isinstance(error, WorkerDied):
            self._submit(items)
            return
        del self._deaths[item.id]
        content = pack_result(item.id, self._model.version, error=f"{type(error).__name__}: {error}")
        self._write(items, [Scored(content, True)])

    def _write(self, items: Sequence[Item], results: Sequence[Scored]) -> None:
        self._source.write([(item, result.content) for item, result in zip(items, results, strict=True)])
        now = time.time()
        for item, result in zip(items, results, strict=True):
            self._deaths.pop(item.id, None)
            self._totals.add(now - item.arrived, result.failed)
