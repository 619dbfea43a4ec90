"""Messages between the driver and its programs on the nodes: JSON objects, one a line.

::

    launcher -> driver     {"here": node}
    controller -> driver   {"addresses": [[address, port], …]}        where it listens for a probe
    driver -> launchers    {"probe": {"addresses": …, "token": …}}
    launcher -> driver     {"node": …, "reached": {address: "" or what failed}}
    driver -> controller   {"bind": address}
    controller -> driver   {"client": {…}, "engine": {…}}             ipyparallel's connection information
    driver -> launchers    {"start": {"engine": …, "nodes": {name: …}, "stride": …, "directory": …,
                                      "data": {"name": …, "places": …, "shared": …},
                                      "generation": of the first engines, when a step is started again}}
    launcher -> driver     {"node": …, "forked": {id: slot}, "note": …, "data": {"directories": …, "step": …}}
    launcher -> driver     {"node": …, "died": id, "status": text, "forked": {id: slot}}
    launcher -> driver     {"node": …, "slot": …, "stream": 0 or 1, "printed": its bytes as Latin-1,
                            "readings": count, at the end of a reading; "ended": true, after a death}
    driver -> launchers    {"kill": id}
    driver -> launchers    {"engine": null, or {…}}                   the controller is gone; there is another
    driver -> launchers    {"room": number}                           how much room have your directories?
    launcher -> driver     {"node": …, "room": {directory: bytes}, "asked": number}
    holder -> driver       {"node": …, "holds": "job.step"}           a step on the nodes that are left
    driver -> all          {"alive": true}                            are you there?
    all -> driver          {"alive": node, or "" for the controller}
    driver -> launchers    {"remove": path}                           of a file of shared data

All of it is sent in the standard streams of the two Slurm steps: no file that nodes would have to share,
no port, nothing in a command line or an environment. The end of standard input is the order to stop.
"""

import contextlib
import json
import os
import select
import time
from collections.abc import Iterator, Mapping
from typing import Any, TypedDict

__all__ = ["LineReader", "Offer", "claim_output", "pieces", "say"]

PIECE, ESCAPED = 600, 64  # characters of a text in one message; fewer where JSON has escapes for them
LONGEST = 800  # characters in JSON; the rest of the line is for the other words of the message


class Offer(TypedDict):
    """Addresses and ports at which a server answers probes, and the token that it answers with."""

    addresses: list[tuple[str, int]]
    token: str


def claim_output() -> int:
    """Return a file descriptor for `say`; what else goes to standard output from now on goes to the log.

    A library that prints without ending its line would make the next message a part of it: a message that
    nobody understands, and that goes to the log with whatever key is in it.
    """
    ours = os.dup(1)
    os.dup2(2, 1)
    return ours


def say(message: Mapping[str, object], stream: int = 1) -> None:
    """Write one object to a file descriptor, as one line in one system call."""
    with contextlib.suppress(BrokenPipeError):
        os.write(stream, json.dumps(message).encode() + b"\n")


def pieces(text: str) -> Iterator[str]:
    """Yield a text in parts that fit into a message: srun keeps labelled lines of up to 1,015 bytes whole."""
    for start in range(0, len(text), PIECE):
        piece = text[start : start + PIECE]
        size = PIECE if len(json.dumps(piece)) <= LONGEST else ESCAPED
        yield from (piece[part : part + size] for part in range(0, len(piece), size))


class LineReader:
    """Reads objects from a file descriptor without ever blocking beyond a time limit."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._buffer = b""
        self.ended = False

    def read(self, timeout: float | None) -> dict[str, Any] | None:
        """Return the next object; None after `timeout` seconds, or at the end (``ended``)."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while b"\n" not in self._buffer and not self.ended:
            left = None if deadline is None else max(deadline - time.monotonic(), 0)
            if not select.select([self.descriptor], [], [], left)[0]:
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
