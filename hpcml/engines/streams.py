"""Standard streams of workers: pipes, so that children and libraries in C write to them as Python does.

::

    worker: sys.stdout, C, children ── fd 1 ──> pipe ──┬──> the worker itself, when a frame ends: with its outcome
                                                       └──> the worker's owner: of long frames, and after a death

Both may read, and each removes from the pipe all that it reads. The owner is the driver of engine ``local``, or
the launcher of engine ``ipyparallel`` (see `collector`). The owner counts its readings before it reads. A worker
sends the count with its outcome, so that the driver can show the owner's prints before those of the outcome.
"""

import codecs
import contextlib
import io
import os
import select
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Pipes", "Streams", "open_pipes"]

READ_BYTES = 1 << 16  # of one system call
_NAMES = ("stdout", "stderr")


@dataclass(frozen=True)
class Pipes:
    """Two pipes, for standard output and standard error: their file descriptors."""

    readers: tuple[int, int]
    writers: tuple[int, int]

    def read(self, number: int) -> bytes:
        """Remove and return all bytes in one of them: 0 for standard output, 1 for standard error."""
        blocks = []
        with contextlib.suppress(BlockingIOError):
            while block := os.read(self.readers[number], READ_BYTES):
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
        Pipes that the streams write to.
    count
        Returns how often the owner has read from the pipes.
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
        self._files: list[io.TextIOWrapper | None] = [None, None]

    def mend(self) -> None:
        """Open and set the standard streams again, where a task has closed, replaced or redirected them."""
        if _identity(1) == self._identities[0] and _identity(2) == self._identities[1] and self._are_ours():
            return
        for number, name in enumerate(_NAMES):
            shown: Any = getattr(sys, name, None)
            file = self._files[number]
            if shown is not file:
                with contextlib.suppress(Exception):
                    shown.flush()
                shown = None
                setattr(sys, name, None)  # a wrapper that is deleted closes its file: that is checked below
            if _identity(number + 1) != self._identities[number]:
                os.dup2(self._pipes.writers[number], number + 1)
            if not self._is_whole(number):
                file = self._files[number] = self._new_file(number)
            if shown is not file or getattr(sys, f"__{name}__", None) is not file:
                setattr(sys, name, file)
                setattr(sys, f"__{name}__", file)

    def _are_ours(self) -> bool:
        """Return whether the files are those that a task should see, and open."""
        out, err = self._files
        try:
            shown = sys.stdout is out is sys.__stdout__ and sys.stderr is err is sys.__stderr__
        except AttributeError:
            return False
        return shown and self._is_whole(0) and self._is_whole(1)

    def mend_quickly(self) -> None:
        """Call `mend` where a short call has changed ``sys``; descriptors are not looked at, to save time."""
        out, err = self._files
        try:
            if out is sys.stdout and err is sys.stderr and out and err and not (out.closed or err.closed):
                return
        except (AttributeError, ValueError):  # a stream was removed, or has lost its buffer
            pass
        self.mend()

    def _is_whole(self, number: int) -> bool:
        """Return whether the file of a stream is open; settings that a task has changed are set again."""
        file = self._files[number]
        try:
            if file is None or file.closed:
                return False
            encoding = self._encodings[number]
            errors = self._errors[number]
            wanted = (encoding, errors, True, self._unbuffered)
            if (file.encoding, file.errors, file.line_buffering, file.write_through) != wanted:
                file.reconfigure(
                    encoding=encoding, errors=errors, line_buffering=True, write_through=self._unbuffered
                )
        except ValueError:  # it has lost its buffer
            return False
        return True

    def _new_file(self, number: int) -> io.TextIOWrapper:
        raw: Any = io.FileIO(number + 1, "w", closefd=False)
        raw.name = f"<{_NAMES[number]}>"
        file = io.TextIOWrapper(
            raw if self._unbuffered else io.BufferedWriter(raw),
            self._encodings[number],
            self._errors[number],
            line_buffering=True,
            write_through=self._unbuffered,
        )
        file.mode = "w"  # type: ignore[misc]  # as open() sets it
        return file

    def take(self) -> tuple[bytes, bytes]:
        """Return the bytes that have been printed and the owner has not read; to be called after `mend`."""
        for file in self._files:
            if file is not None:
                file.flush()
        if not self._poller.poll(0):
            return b"", b""
        return self._pipes.read(0), self._pipes.read(1)


def _identity(descriptor: int) -> tuple[int, int] | None:
    """Return device and inode of a descriptor's file; None when it is closed."""
    try:
        status = os.fstat(descriptor)
    except OSError:
        return None
    return status.st_dev, status.st_ino
