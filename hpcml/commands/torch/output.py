"""Output of ranks: complete lines at once, and what is no line after a while; no faster than it is read."""

import os
import time
from typing import IO, Any

from hpcml.slurm.process import Inbox, Program

__all__ = ["SlowInbox", "Stream"]

MOST_WAITING = 500  # messages, of up to 64 kB of output each
PAUSE_SECONDS = 0.01
LAST_BYTES = 1 << 14  # that are kept for the news of a failure


class Stream:
    """Standard output or error of a rank, cut into lines.

    Parameters
    ----------
    name
        Name of the stream in messages.
    """

    def __init__(self, name: str, pipe: IO[bytes]) -> None:
        self.name = name
        self.fd = pipe.fileno()
        self.is_open = True
        self.held = b""
        self.last = b""
        os.set_blocking(self.fd, False)

    def read(self) -> bytes:
        """Return the lines that have come; a bar of progress ends with a carriage return."""
        try:
            data = os.read(self.fd, 1 << 16)
        except BlockingIOError:
            return b""
        if not data:
            self.is_open = False
            return self.take()
        self.last = (self.last + data)[-LAST_BYTES:]
        data = self.held + data
        end = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
        self.held = data[end:]
        return data[:end]

    def take(self) -> bytes:
        """Return the part of a line that is held."""
        data, self.held = self.held, b""
        return data


class SlowInbox(Inbox):
    """Queue whose `put` waits with output while many messages are in it: that slows ranks which print fast."""

    is_read = True
    """False where no reader takes the messages any longer: `put` then does not wait."""

    def put(self, item: tuple[Program | None, dict[str, Any] | None], *others: Any) -> None:
        """Put a message into the queue, at once where it is no output; see `queue.SimpleQueue`."""
        is_output = item[1] is not None and ("out" in item[1] or "err" in item[1])
        while is_output and self.is_read and self.qsize() > MOST_WAITING:
            time.sleep(PAUSE_SECONDS)
        super().put(item, *others)
