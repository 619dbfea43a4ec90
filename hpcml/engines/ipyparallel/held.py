"""Outcomes that are there before what was printed meanwhile: each way has its own speed."""

import threading
import time
from collections.abc import Callable
from typing import Any

from hpcml.data.outcomes import read_head
from hpcml.engines.worker import Worker

__all__ = ["HeldOutcomes"]

PATIENCE = 5.0  # seconds; a launcher that is gone sends nothing any more


class HeldOutcomes:
    """Holds outcomes back until the driver has all that the launcher has read of their worker's streams."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # protects both: the client's IO thread adds, the news thread takes
        self._readings: dict[Worker, int] = {}
        self._held: list[tuple[float, Worker, int, Callable[[], None]]] = []

    def add(self, worker: Worker, outcomes: bytes, resolve: Callable[[], None]) -> None:
        """Call `resolve` as soon as nothing is missing that was printed before `outcomes` were sent."""
        readings = read_head(outcomes).readings
        with self._lock:
            if readings > self._readings.get(worker, 0):
                self._held.append((time.monotonic() + PATIENCE, worker, readings, resolve))
                return
        resolve()

    def take(self, message: dict[str, Any], show: Callable[[str, int, bytes, bool], None]) -> None:
        """Show what a launcher has read from a worker's streams, see `messages`; let go what waits for it."""
        worker = Worker(message["node"], message["slot"])
        show(str(worker), message["stream"], message["printed"].encode("latin-1"), message.get("ended", False))
        with self._lock:
            self._readings[worker] = max(message.get("readings", 0), self._readings.get(worker, 0))
        self.look()

    def look(self) -> None:
        """Let go what is complete, and what has been held for too long."""
        if not self._held:
            return
        now = time.monotonic()
        with self._lock:
            ready = [one for one in self._held if one[0] < now or one[2] <= self._readings.get(one[1], 0)]
            self._held = [one for one in self._held if one not in ready]
        for *_, resolve in ready:
            resolve()
