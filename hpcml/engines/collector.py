"""Readings of workers' standard streams by their owner, of long frames and after a death; see `streams`."""

import fcntl
import select
import struct
import termios
import time
from collections.abc import Callable, MutableSequence, Sequence

from hpcml.engines.streams import Pipes

__all__ = ["Collector"]

BATCH_SECONDS = 0.5  # that prints of a long frame wait in their pipe for more of them
MUCH_BYTES = 1 << 15  # half of a pipe's capacity (pipe(7)): so much does not wait
POLL_SECONDS = 0.02  # between two looks at pipes that are not empty
BUSY_POLL_SECONDS = 0.002  # the same while one fills quickly


class Collector:
    """Reader of the pipes of an owner's workers, which are numbered from 0.

    Parameters
    ----------
    deliver
        Called after each reading: with the worker, the stream (0 or 1), the bytes, and the count of its readings.
    counts
        The readings of each worker: a list, or memory of that form which the workers share.
    """

    def __init__(
        self,
        pipes: Sequence[Pipes],
        deliver: Callable[[int, int, bytes, int], None],
        counts: "MutableSequence[int] | memoryview[int] | None" = None,
    ) -> None:
        self._pipes = pipes
        self._deliver = deliver
        self._counts = [0] * len(pipes) if counts is None else counts
        self._epoll = select.epoll()
        self._places = {one.readers[number]: (n, number) for n, one in enumerate(pipes) for number in (0, 1)}
        for descriptor in self._places:
            self._epoll.register(descriptor, select.EPOLLIN)
        self._filled_since: dict[int, float] = {}  # by descriptor, of pipes that are not empty
        self._is_busy = False

    @property
    def watched(self) -> list[int]:
        """File descriptors to wait for until the next `look`, beside `timeout`."""
        return [] if self._filled_since else [self._epoll.fileno()]

    @property
    def timeout(self) -> float | None:
        """Seconds until the next `look`; None: no need."""
        return (BUSY_POLL_SECONDS if self._is_busy else POLL_SECONDS) if self._filled_since else None

    def look(self) -> None:
        """Read the pipes that have waited long enough, or contain much."""
        now = time.monotonic()
        full = [descriptor for descriptor, _ in self._epoll.poll(0)] if self._places else []
        self._filled_since = {descriptor: self._filled_since.get(descriptor, now) for descriptor in full}
        self._is_busy = False
        for descriptor, since in list(self._filled_since.items()):
            much = _bytes_in(descriptor) >= MUCH_BYTES
            if much or now >= since + BATCH_SECONDS:
                self._read(*self._places[descriptor])
                self._is_busy = self._is_busy or much
                self._filled_since[descriptor] = now

    def drain(self, worker: int) -> None:
        """Read all bytes in the pipes of one worker."""
        for number in (0, 1):
            if _bytes_in(self._pipes[worker].readers[number]):
                self._read(worker, number)

    def _read(self, worker: int, number: int) -> None:
        self._counts[worker] += 1
        self._deliver(worker, number, self._pipes[worker].read(number), self._counts[worker])

    def close(self) -> None:
        """Read all bytes that are left, and close all pipes."""
        for worker, pipes in enumerate(self._pipes):
            self.drain(worker)
            pipes.close()
        self._epoll.close()


def _bytes_in(descriptor: int) -> int:
    """Return the number of bytes in a pipe (ioctl_tty(2), FIONREAD)."""
    number: int = struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, b"\0\0\0\0"))[0]
    return number
