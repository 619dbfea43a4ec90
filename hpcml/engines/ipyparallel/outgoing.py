"""Wait of an engine until its answer is sent: the task of an answer that died with its engine would run once more.

zmq sends in a thread of its own. An engine that began its next frame before that thread has run would lose two
frames when it is killed then: the one that it runs, and the one whose answer was not sent. zmq does not report
that a message has been sent. The kernel does, and it sends all bytes that it has been given, also when the process
has ended.
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

BYTES_ACKED_OFFSET = 120  # of tcpi_bytes_acked in linux/tcp.h's tcp_info
SEND_TIMEOUT_SECONDS = 1.0  # then the next task begins, also where the network takes nothing
POLL_SECONDS = 2e-5


class Outgoing:
    """The connection of this process to a port of the controller.

    Parameters
    ----------
    port
        Port of the controller's scheduler; this process has one connection to it.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection: socket.socket | None = None  # zmq's own, never closed here
        self._inode = 0  # of that socket: its descriptor may be another file's later

    def written(self) -> int | None:
        """Return the number of bytes that the kernel was given for this connection; None when there is none.

        Bytes that are acknowledged between the two system calls are not counted: the number may be too small, but
        never too large.
        """
        connection = self._find()
        if connection is None:
            return None
        waiting = array.array("i", [0])
        try:
            info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, BYTES_ACKED_OFFSET + 8)
            (acknowledged,) = struct.unpack_from("Q", info, BYTES_ACKED_OFFSET)
            fcntl.ioctl(connection, termios.TIOCOUTQ, waiting)
        except (OSError, struct.error):  # the connection is lost, or the kernel older than 4.1
            return None
        return int(acknowledged) + waiting[0]

    def wait(self, before: int | None, nbytes: int) -> None:
        """Wait until the kernel has `nbytes` more bytes than `before`, or the connection is another."""
        deadline = time.monotonic() + SEND_TIMEOUT_SECONDS
        while before is not None and time.monotonic() < deadline:
            now = self.written()
            if now is None or now < before or now >= before + nbytes:
                return
            time.sleep(POLL_SECONDS)

    def _find(self) -> socket.socket | None:
        with contextlib.suppress(OSError):
            if self._connection is not None and os.fstat(self._connection.fileno()).st_ino == self._inode:
                return self._connection
        if self._connection is not None:
            self._connection.detach()
        numbers = map(int, os.listdir("/proc/self/fd"))
        self._connection = next((found for number in numbers if (found := self._open_if_ours(number))), None)
        if self._connection is not None:
            self._inode = os.fstat(self._connection.fileno()).st_ino
        return self._connection

    def _open_if_ours(self, descriptor: int) -> socket.socket | None:
        with contextlib.suppress(OSError):
            connection = socket.socket(fileno=descriptor)  # OSError: the descriptor is no socket
            with contextlib.suppress(OSError):
                if connection.family == socket.AF_INET and connection.getpeername()[1] == self._port:
                    return connection
            connection.detach()
        return None
