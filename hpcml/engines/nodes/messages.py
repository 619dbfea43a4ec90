"""Messages between the driver and its programs on the nodes: JSON objects in their standard streams.

Each engine has a table of its messages, in its `message_types`. No message needs a file that nodes share, a port,
a command line or an environment. The end of standard input is the order to stop.
"""

import contextlib
import io
import json
import os
import sys
import time
from collections.abc import Mapping
from multiprocessing.connection import wait
from typing import Any, TypedDict

from hpcml.slurm.message_lines import message_lines

__all__ = [
    "DataOrder",
    "LineReader",
    "NodeNews",
    "NodeOrder",
    "Offer",
    "ReportedData",
    "claim_output",
    "send_message",
]


class Offer(TypedDict):
    """Addresses and ports at which a server answers probes, and the token that it answers with."""

    addresses: list[tuple[str, int]]
    token: str


class DataOrder(TypedDict):
    """Directories for data that a node program makes, and in the end removes."""

    name: str
    places: tuple[str, ...]
    shared: str


class ReportedData(TypedDict):
    """Directories for data that a node program has made, and the Slurm step that it belongs to."""

    directories: list[str]
    step: str


class NodeOrder(TypedDict, total=False):
    """Order about the data of a node: one of these."""

    remove: str
    room: int


class NodeNews(TypedDict, total=False):
    """News of the prints and of the data of a node."""

    asked: int
    data: ReportedData
    ended: bool
    holds: str
    node: str
    printed: str
    readings: int
    room: dict[str, int]
    slot: int
    stream: int


def claim_output() -> int:
    """Return a file descriptor for `send_message`; all else that is written to standard output goes to the log.

    A library that prints without ending its line would otherwise make the next message a part of its line: the
    driver could not read the message, and would write it to the log with the keys in it.

    The log has each line at once: the last line shows which import takes so long.
    """
    ours = os.dup(1)
    os.dup2(2, 1)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    return ours


def send_message(message: Mapping[str, object], descriptor: int = 1) -> None:
    """Write one object to a file descriptor, each of its lines in one system call."""
    with contextlib.suppress(BrokenPipeError):
        for line in message_lines(message):
            os.write(descriptor, line)


class LineReader:
    """Reader of the driver's objects, one a line, that never blocks beyond a time limit.

    ``ended`` is whether the descriptor has been read to its end.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.ended = False
        self._buffer = b""

    @property
    def has_line(self) -> bool:
        """Return whether an object has been read from the descriptor, which `read` returns at once."""
        return b"\n" in self._buffer

    def read(self, timeout: float | None) -> dict[str, Any] | None:
        """Return the next object; None after `timeout` seconds, or at the end (``ended``)."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self.has_line and not self.ended:
            left = None if deadline is None else max(deadline - time.monotonic(), 0)
            if not wait([self.descriptor], left):
                return None
            block = os.read(self.descriptor, 1 << 16)
            self.ended = not block
            self._buffer += block
        line, found, rest = self._buffer.partition(b"\n")
        if not found:
            return None
        self._buffer = rest
        message: dict[str, Any] = json.loads(line)
        return message
