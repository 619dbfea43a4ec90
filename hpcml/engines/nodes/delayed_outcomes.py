"""Outcomes that arrive before the prints of their tasks: the two are sent by different programs."""

import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from hpcml.data.outcomes import read_head
from hpcml.engines.nodes.messages import NodeNews
from hpcml.engines.worker import Worker

__all__ = ["DelayedOutcomes"]

PRINTS_TIMEOUT_SECONDS = 5.0  # a launcher that is gone sends no more prints


class _Delayed(NamedTuple):
    """Outcomes of one frame, and the count of readings whose prints they wait for."""

    deadline: float
    worker: Worker
    readings: int
    resolve: Callable[[], None]


class DelayedOutcomes:
    """Outcomes that wait until the driver has all prints that the launcher had read of their worker's streams."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # protects both: the client's IO thread adds, the news thread releases
        self._readings: dict[Worker, int] = {}  # of each worker's streams, that the driver has
        self._delayed: list[_Delayed] = []

    def add(self, worker: Worker, outcomes: bytes, resolve: Callable[[], None]) -> None:
        """Call `resolve` as soon as all prints are shown that were read before `outcomes` were sent."""
        readings = read_head(outcomes).readings
        with self._lock:
            if readings > self._readings.get(worker, 0):
                self._delayed.append(
                    _Delayed(time.monotonic() + PRINTS_TIMEOUT_SECONDS, worker, readings, resolve)
                )
                return
        resolve()

    def take(self, message: NodeNews, show: Callable[[str, int, bytes, bool], None]) -> None:
        """Show the prints in a launcher's message, and release the outcomes that have waited for them."""
        worker = Worker(message["node"], message["slot"])
        show(str(worker), message["stream"], message["printed"].encode("latin-1"), message.get("ended", False))
        with self._lock:
            self._readings[worker] = max(message.get("readings", 0), self._readings.get(worker, 0))
        self.release_complete()

    def release_complete(self) -> None:
        """Release the outcomes whose prints are complete, and those that have waited for too long."""
        if not self._delayed:
            return
        now = time.monotonic()
        with self._lock:
            released = [
                one
                for one in self._delayed
                if one.deadline < now or one.readings <= self._readings.get(one.worker, 0)
            ]
            self._delayed = [one for one in self._delayed if one not in released]
        for one in released:
            one.resolve()
