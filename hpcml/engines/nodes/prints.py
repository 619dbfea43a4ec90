"""Prints of the engines of a node: their streams, and the launcher's readings, which are sent to the driver."""

import contextlib
import mmap
import resource

from hpcml.engines.collector import Collector
from hpcml.engines.nodes.messages import send_message
from hpcml.engines.streams import Streams, open_pipes

__all__ = ["NodePrints"]

FILES_PER_SLOT = 4
OTHER_FILES = 256  # of a launcher, at most
MESSAGE_BYTES = 1 << 16  # of prints in one message: the driver shows these while the next are sent


class NodePrints:
    """The streams of all slots of a node; the engines that follow each other in a slot share its streams.

    Parameters
    ----------
    output
        File descriptor for messages to the driver.
    """

    def __init__(self, node: str, slots: int, output: int) -> None:
        self._node = node
        self._output = output
        self._file_limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        soft, hard = self._file_limits
        if soft < FILES_PER_SLOT * slots + OTHER_FILES:
            with contextlib.suppress(ValueError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (min(FILES_PER_SLOT * slots + OTHER_FILES, hard), hard))
        self._pipes = [open_pipes() for _ in range(slots)]
        # Readings of each slot's streams, in memory that the engines share.
        self._counts = memoryview(mmap.mmap(-1, 8 * slots)).cast("Q")
        self._collector = Collector(self._pipes, self._send, self._counts)

    def streams(self, slot: int) -> Streams:
        """Return the streams of an engine, in its process, and close those of the other slots there."""
        for number, pipes in enumerate(self._pipes):
            if number != slot:
                pipes.close()
        with contextlib.suppress(ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, self._file_limits)
        return Streams(self._pipes[slot], lambda: self._counts[slot])

    @property
    def watched(self) -> list[int]:
        """See `hpcml.engines.collector.Collector`."""
        return self._collector.watched

    @property
    def timeout(self) -> float | None:
        """See `hpcml.engines.collector.Collector`."""
        return self._collector.timeout

    def look(self) -> None:
        """Send the prints that have waited long enough, or are many."""
        self._collector.look()

    def drain(self, slot: int) -> None:
        """Send the last prints of an engine that has ended, and a message that they are the last."""
        self._collector.drain(slot)
        for stream in (0, 1):
            send_message(
                {"node": self._node, "slot": slot, "stream": stream, "printed": "", "ended": True}, self._output
            )

    def close(self) -> None:
        """Send the prints that are left."""
        self._collector.close()

    def _send(self, slot: int, stream: int, data: bytes, count: int) -> None:
        origin = {"node": self._node, "slot": slot, "stream": stream}
        *most, last = [data[start : start + MESSAGE_BYTES] for start in range(0, max(len(data), 1), MESSAGE_BYTES)]
        for part in most:
            send_message({**origin, "printed": part.decode("latin-1")}, self._output)
        send_message({**origin, "printed": last.decode("latin-1"), "readings": count}, self._output)
