"""When an answer has left an engine: an answer that a dead engine had not sent is a task that runs once more.

zmq sends in a thread of its own. An engine that begins its next frame before that thread has run loses two frames
when it is killed then: the one it works on, and the one whose answer went with it. zmq does not say when a message
has left; the kernel does, and sends what it has been given whatever becomes of the process.
"""

import array
import contextlib
import fcntl
import os
import socket
import struct
import termios
import time

__all__ = ["Outgoing"]

BYTES_ACKED = 120  # where it is in linux/tcp.h's tcp_info
PATIENCE = 1.0  # seconds; a network that takes nothing for so long must not hold the tasks up
PAUSE = 2e-5


class Outgoing:
    """The connection of this process to a port of the controller.

    Parameters
    ----------
    port
        What is connected to; one connection of this process leads there.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection: socket.socket | None = None  # zmq's own, never closed here
        self._inode = 0  # file descriptors are used again

    def written(self) -> int | None:
        """Return the bytes that the kernel was given for this connection; None when there is none.

        What is acknowledged between the two questions is missing: it may be too few, never too many.
        """
        connection = self._find()
        if connection is None:
            return None
        waiting = array.array("i", [0])
        try:
            about = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, BYTES_ACKED + 8)
            (acknowledged,) = struct.unpack_from("Q", about, BYTES_ACKED)
            fcntl.ioctl(connection, termios.TIOCOUTQ, waiting)
        except (OSError, struct.error):  # the connection is lost, or the kernel older than 4.1
            return None
        return int(acknowledged) + waiting[0]

    def wait(self, before: int | None, nbytes: int) -> None:
        """Wait until the kernel has so many bytes more than `before`, or the connection is another."""
        deadline = time.monotonic() + PATIENCE
        while before is not None and time.monotonic() < deadline:
            now = self.written()
            if now is None or now < before or now >= before + nbytes:
                return
            time.sleep(PAUSE)

    def _find(self) -> socket.socket | None:
        with contextlib.suppress(OSError):
            if self._connection is not None and os.fstat(self._connection.fileno()).st_ino == self._inode:
                return self._connection
        if self._connection is not None:
            self._connection.detach()
        numbers = map(int, os.listdir("/proc/self/fd"))
        self._connection = next((found for number in numbers if (found := self._leading_there(number))), None)
        if self._connection is not None:
            self._inode = os.fstat(self._connection.fileno()).st_ino
        return self._connection

    def _leading_there(self, descriptor: int) -> socket.socket | None:
        with contextlib.suppress(OSError):
            connection = socket.socket(fileno=descriptor)  # OSError: it is no socket
            with contextlib.suppress(OSError):
                if connection.family == socket.AF_INET and connection.getpeername()[1] == self._port:
                    return connection
            connection.detach()
        return None
