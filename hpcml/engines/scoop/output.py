"""Prints of the workers of a node: they go on to the script's own streams, line by line."""

import codecs
import os
import select

from hpcml.engines.nodes.messages import send_message

__all__ = ["Printed"]

MANY = 100  # chunks at a time: there are others to listen to
CHUNK = 600  # bytes that are read at once


class Printed:
    """Prints of all workers of the node to one of their two streams, passed on line by line."""

    def __init__(self, node: str, stream: int, output: int) -> None:
        self._about = {"node": node, "stream": stream}
        self._output = output
        self.reader, self.writer = os.pipe2(os.O_CLOEXEC)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._line = ""

    def forward(self) -> None:
        """Pass on what there is, up to the last end of a line; not all when it does not end."""
        for _ in range(MANY):
            if not select.select([self.reader], [], [], 0)[0]:
                return
            self._line += self._decoder.decode(os.read(self.reader, CHUNK))
            whole, end, rest = self._line.rpartition("\n")
            if end or len(rest) > CHUNK // 2:
                self._say(whole + end if end else rest)
                self._line = rest if end else ""

    def flush(self) -> None:
        """Pass on what is left."""
        self.forward()
        self._say(self._line)
        self._line = ""

    def _say(self, text: str) -> None:
        if text:
            send_message({**self._about, "text": text}, self._output)
