"""Output of a rank: complete lines at once, and what is no line after a while."""

import os
from typing import IO

__all__ = ["Stream"]

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
