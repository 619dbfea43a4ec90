"""Prints of the engines of a node: their streams, and the launcher's readings of them, sent to the driver."""

import contextlib
import mmap
import resource
from typing import Any

from hpcml.engines.nodes.messages import pieces, say
from hpcml.engines.streams import Collector, Streams, open_pipes

__all__ = ["NodePrints"]

FILES = 4  # of each slot


class NodePrints:
    """The streams of all slots of a node, by which engines that are forked for a slot follow each other.

    Parameters
    ----------
    output
        The file descriptor for messages.
    """

    def __init__(self, node: str, slots: int, output: int) -> None:
        self._node = node
        self._output = output
        self._files = resource.getrlimit(resource.RLIMIT_NOFILE)
        soft, hard = self._files
        if soft < FILES * slots + 256:
            with contextlib.suppress(ValueError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (min(FILES * slots + 256, hard), hard))
        self._pipes = [open_pipes() for _ in range(slots)]
        # Shared with the engines: the count of the readings of each.
        self._counts: Any = memoryview(mmap.mmap(-1, 8 * slots)).cast("Q")
        self._collector = Collector(self._pipes, self._send, self._counts)

    def streams(self, slot: int) -> Streams:
        """Return the streams of an engine, in its process, which has no use for those of the others."""
        for number, pipes in enumerate(self._pipes):
            if number != slot:
                pipes.close()
        with contextlib.suppress(ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, self._files)
        return Streams(self._pipes[slot], lambda: int(self._counts[slot]))

    @property
    def watched(self) -> list[int]:
        """See `hpcml.engines.streams.Collector`."""
        return self._collector.watched

    @property
    def timeout(self) -> float | None:
        """See `hpcml.engines.streams.Collector`."""
        return self._collector.timeout

    def look(self) -> None:
        """Send what has waited long enough, or is much."""
        self._collector.look()

    def drain(self, slot: int) -> None:
        """Send the last words of an engine that has ended, and that they are the last."""
        self._collector.drain(slot)
        for stream in (0, 1):
            say({"node": self._node, "slot": slot, "stream": stream, "printed": "", "ended": True}, self._output)

    def close(self) -> None:
        """Send what is left."""
        self._collector.close()

    def _send(self, slot: int, stream: int, data: bytes, count: int) -> None:
        about = {"node": self._node, "slot": slot, "stream": stream}
        *most, last = pieces(data.decode("latin-1")) if data else ("",)
        for piece in most:
            say({**about, "printed": piece}, self._output)
        say({**about, "printed": last, "readings": count}, self._output)
