"""Prints of the workers of engine ``local``, read in the driver while their frames run."""

import os
import threading
from collections.abc import Callable
from multiprocessing.connection import wait

from hpcml.engines.collector import Collector
from hpcml.engines.streams import Pipes

__all__ = ["PrintReader"]


class PrintReader:
    """Thread that reads the prints of frames that take long.

    Parameters
    ----------
    show
        Called with the worker's slot, the stream (0 or 1), the bytes, and whether they are the worker's last.
    """

    def __init__(self, pipes: list[Pipes], show: Callable[[int, int, bytes, bool], None]) -> None:
        self._show = show
        # Protects the collector; after it was acquired, all bytes that had been read have been shown.
        self.lock = threading.Lock()
        self._collector = Collector(pipes, lambda slot, stream, data, _: show(slot, stream, data, False))
        self._wake, self._waker = os.pipe2(os.O_CLOEXEC)
        self._thread = threading.Thread(target=self._read, name="hpcml-prints", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while True:
            # select(2) takes no descriptor above 1,023, and a script may have that many files open.
            ready = wait([self._wake, *self._collector.watched], self._collector.timeout)
            if self._wake in ready:
                return
            with self.lock:
                self._collector.look()

    def drain(self, slot: int) -> None:
        """Pass on the last prints of a worker that has ended."""
        with self.lock:
            self._collector.drain(slot)
            for stream in (0, 1):
                self._show(slot, stream, b"", True)

    def close(self) -> None:
        """End the thread, and pass on the prints that are left."""
        os.write(self._waker, b"x")
        self._thread.join(10)
        self._collector.close()
        os.close(self._wake)
        os.close(self._waker)
