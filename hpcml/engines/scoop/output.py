"""Prints of the workers of a node, sent line by line to the script's process."""

import codecs
import os
from multiprocessing.connection import wait

from hpcml.engines.nodes.messages import send_message

__all__ = ["Printed"]

MAX_READS = 100  # at a time: deaths and messages wait meanwhile
READ_BYTES = 600


class Printed:
    """Prints of all workers of the node to one of their streams; ``writer`` is the workers' end of a pipe."""

    def __init__(self, node: str, stream: int, output: int) -> None:
        self._origin = {"node": node, "stream": stream}
        self._output = output
        self.reader, self.writer = os.pipe2(os.O_CLOEXEC)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._line = ""

    def forward(self) -> None:
        """Send whole lines that the workers have printed, and the beginning of a line that is long."""
        for _ in range(MAX_READS):
            if not wait([self.reader], 0):
                return
            self._line += self._decoder.decode(os.read(self.reader, READ_BYTES))
            whole, end, rest = self._line.rpartition("\n")
            if end or len(rest) > READ_BYTES // 2:
                self._send(whole + end if end else rest)
                self._line = rest if end else ""

    def flush(self) -> None:
        """Send all that is left."""
        self.forward()
        self._send(self._line)
        self._line = ""

    def _send(self, text: str) -> None:
        if text:
            send_message({**self._origin, "text": text}, self._output)
