"""The standard streams of workers: pipes, so that children and libraries in C write to them as Python does.

::

    worker: sys.stdout, C, children ── fd 1 ──> pipe ──┬──> the worker itself, when a frame ends: with its outcome
                                                       └──> the worker's owner: of long frames, and after a death

Both may read, each takes what is there. The owner counts its readings before it reads; a worker sends the count
with its outcome, so that the driver shows what the owner has taken first.
"""

import codecs
import contextlib
import fcntl
import io
import os
import select
import struct
import sys
import termios
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Collector", "Pipes", "Streams", "open_pipes"]

BATCH_SECONDS = 0.5  # that what a long frame prints waits for more of it
MUCH = 1 << 15  # bytes; half of what a pipe holds (pipe(7)) does not wait
TICK, HOT_TICK = 0.02, 0.002  # seconds between two looks at pipes that hold something, and that fill quickly
BLOCK = 1 << 16  # bytes
_NAMES = ("stdout", "stderr")


@dataclass(frozen=True)
class Pipes:
    """Two pipes, for standard output and standard error: their file descriptors."""

    readers: tuple[int, int]
    writers: tuple[int, int]

    def read(self, number: int) -> bytes:
        """Take what one of them holds: 0 for standard output, 1 for standard error."""
        blocks = []
        with contextlib.suppress(BlockingIOError):
            while block := os.read(self.readers[number], BLOCK):
                blocks.append(block)
        return b"".join(blocks)

    def close(self) -> None:
        """Close all four ends."""
        for descriptor in (*self.readers, *self.writers):
            with contextlib.suppress(OSError):
                os.close(descriptor)


def open_pipes() -> Pipes:
    """Return two new pipes; reading does not block, writing does."""
    ends = [os.pipe() for _ in _NAMES]
    for reader, _ in ends:
        os.set_blocking(reader, False)
    (out, to_out), (err, to_err) = ends
    return Pipes((out, err), (to_out, to_err))


class Streams:
    """The streams of this worker; the first `mend` makes them its standard streams.

    Parameters
    ----------
    pipes
        Where they lead.
    count
        Returns how often the owner has read from them.
    """

    def __init__(self, pipes: Pipes, count: Callable[[], int] = lambda: 0) -> None:
        self._pipes = pipes
        self.count = count
        self._poller = select.poll()
        for descriptor in pipes.readers:
            self._poller.register(descriptor, select.POLLIN)
        for descriptor in (*pipes.readers, *pipes.writers):
            os.set_inheritable(descriptor, False)
        self._identities = [_identity(writer) for writer in pipes.writers]
        plain = (sys.__stdout__, sys.__stderr__)
        self._encodings = [getattr(file, "encoding", None) or "utf-8" for file in plain]
        errors = [getattr(file, "errors", None) or "backslashreplace" for file in plain]
        # A character that the encoding of a bare terminal lacks is shown as an escape, and does not fail its task.
        wide = [codecs.lookup(encoding).name == "utf-8" for encoding in self._encodings]
        self._errors = [kind if all(wide) or kind != "strict" else "backslashreplace" for kind in errors]
        self._unbuffered = bool(getattr(sys.__stdout__, "write_through", False))  # PYTHONUNBUFFERED is set
        self._files: list[Any] = [None, None]

    def mend(self) -> None:
        """Undo what a task has done to its standard streams: closed, replaced or redirected them."""
        if _identity(1) == self._identities[0] and _identity(2) == self._identities[1] and self._are_ours():
            return
        for number, name in enumerate(_NAMES):
            shown: Any = getattr(sys, name, None)
            file = self._files[number]
            if shown is not file:
                with contextlib.suppress(Exception):
                    shown.flush()
                shown = None
                setattr(sys, name, None)  # a wrapper that goes closes what it has wrapped: that is checked below
            if _identity(number + 1) != self._identities[number]:
                os.dup2(self._pipes.writers[number], number + 1)
            if not self._is_whole(number):
                file = self._files[number] = self._new_file(number)
            if shown is not file or getattr(sys, f"__{name}__", None) is not file:
                setattr(sys, name, file)
                setattr(sys, f"__{name}__", file)

    def _are_ours(self) -> bool:
        """Tell whether the files are those that a task should see, and open."""
        out, err = self._files
        try:
            shown = sys.stdout is out is sys.__stdout__ and sys.stderr is err is sys.__stderr__
        except AttributeError:
            return False
        return shown and self._is_whole(0) and self._is_whole(1)

    def mend_quickly(self) -> None:
        """Undo what a short call has done to `sys`; to look at the descriptors as well would cost too much."""
        out, err = self._files
        try:
            if sys.stdout is out and sys.stderr is err and not out.closed and not err.closed:
                return
        except (AttributeError, ValueError):  # removed, or without its buffer
            pass
        self.mend()

    def _is_whole(self, number: int) -> bool:
        """Tell whether the file of a stream is open; settings that a task has changed are set again."""
        file = self._files[number]
        try:
            if file is None or file.closed:
                return False
            kept = file.encoding, file.errors, file.line_buffering, file.write_through
            wanted = self._encodings[number], self._errors[number], True, self._unbuffered
            if kept != wanted:
                encoding, errors, line_buffering, write_through = wanted
                file.reconfigure(
                    encoding=encoding, errors=errors, line_buffering=line_buffering, write_through=write_through
                )
        except ValueError:  # it has given its buffer away
            return False
        return True

    def _new_file(self, number: int) -> io.TextIOWrapper:
        raw: Any = io.FileIO(number + 1, "w", closefd=False)
        raw.name = f"<{_NAMES[number]}>"
        encoding, errors, through = self._encodings[number], self._errors[number], self._unbuffered
        buffer: Any = raw if through else io.BufferedWriter(raw)
        file: Any = io.TextIOWrapper(buffer, encoding, errors, line_buffering=True, write_through=through)
        file.mode = "w"
        return file  # type: ignore[no-any-return]

    def take(self) -> tuple[bytes, bytes]:
        """Return what has been printed and the owner has not taken; to be called after `mend`."""
        for file in self._files:
            file.flush()
        if not self._poller.poll(0):
            return b"", b""
        return self._pipes.read(0), self._pipes.read(1)


def _identity(descriptor: int) -> tuple[int, int] | None:
    """Return the file that a descriptor leads to; None when it is closed."""
    try:
        about = os.fstat(descriptor)
    except OSError:
        return None
    return about.st_dev, about.st_ino


class Collector:
    """The owner's readings of the streams of its workers, which are numbered from 0.

    Parameters
    ----------
    deliver
        Takes what was read: the worker, the stream (0 or 1), the bytes, and the count of its readings.
    counts
        A list of the readings of each worker, or memory of that form which the workers share.
    """

    def __init__(
        self,
        pipes: Sequence[Pipes],
        deliver: Callable[[int, int, bytes, int], None],
        counts: Any = None,
    ) -> None:
        self._pipes = pipes
        self._deliver = deliver
        self._counts: Any = [0] * len(pipes) if counts is None else counts
        self._epoll = select.epoll()
        self._places = {one.readers[number]: (n, number) for n, one in enumerate(pipes) for number in (0, 1)}
        for descriptor in self._places:
            self._epoll.register(descriptor, select.EPOLLIN)
        self._since: dict[int, float] = {}  # descriptor: when it was seen to hold something
        self._hot = False

    @property
    def watched(self) -> list[int]:
        """File descriptors to wait for until the next `look`, beside `timeout`."""
        return [] if self._since else [self._epoll.fileno()]

    @property
    def timeout(self) -> float | None:
        """Seconds until the next `look`; None: no need."""
        return (HOT_TICK if self._hot else TICK) if self._since else None

    def look(self) -> None:
        """Read what has waited long enough, or is much."""
        now = time.monotonic()
        full = [descriptor for descriptor, _ in self._epoll.poll(0)] if self._places else []
        self._since = {descriptor: self._since.get(descriptor, now) for descriptor in full}
        self._hot = False
        for descriptor, since in list(self._since.items()):
            much = _held(descriptor) >= MUCH
            if much or now >= since + BATCH_SECONDS:
                self._read(*self._places[descriptor])
                self._hot = self._hot or much
                self._since[descriptor] = now

    def drain(self, worker: int) -> None:
        """Read all that one worker's pipes hold."""
        for number in (0, 1):
            if _held(self._pipes[worker].readers[number]):
                self._read(worker, number)

    def _read(self, worker: int, number: int) -> None:
        self._counts[worker] += 1
        self._deliver(worker, number, self._pipes[worker].read(number), self._counts[worker])

    def close(self) -> None:
        """Read all that is left, and close all pipes."""
        for worker, pipes in enumerate(self._pipes):
            self.drain(worker)
            pipes.close()
        self._epoll.close()


def _held(descriptor: int) -> int:
    """Return how many bytes a pipe holds (ioctl_tty(2), FIONREAD)."""
    held: int = struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, b"\0\0\0\0"))[0]
    return held
