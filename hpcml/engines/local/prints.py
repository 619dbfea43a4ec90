"""The lines that workers of engine ``local`` print, read in the driver as they come."""

import os
import select
import threading
from collections.abc import Callable

from hpcml.engines.streams import Collector, Pipes

__all__ = ["Printed"]


class Printed:
    """Reads what workers print in frames that take long, in a thread of its own."""

    def __init__(self, pipes: list[Pipes], show: Callable[[int, int, bytes, bool], None]) -> None:
        self._show = show
        self.lock = threading.Lock()  # protects the collector: nobody is between what was read and `show`
        self._collector = Collector(pipes, lambda slot, stream, data, _: show(slot, stream, data, False))
        self._wake, self._waker = os.pipe2(os.O_CLOEXEC)
        self._thread = threading.Thread(target=self._read, name="hpcml-prints", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while True:
            ready = select.select([self._wake, *self._collector.watched], [], [], self._collector.timeout)[0]
            if self._wake in ready:
                return
            with self.lock:
                self._collector.look()

    def drain(self, slot: int) -> None:
        """Pass on the last words of a worker that has ended."""
        with self.lock:
            self._collector.drain(slot)
            for stream in (0, 1):
                self._show(slot, stream, b"", True)

    def close(self) -> None:
        """End the thread, and pass on what is left."""
        os.write(self._waker, b"x")
        self._thread.join(10)
        self._collector.close()
        os.close(self._wake)
        os.close(self._waker)
