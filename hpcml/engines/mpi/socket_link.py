"""Link between the driver and the relay of its own node: a Unix socket, which the kernel keeps from other users.

A packet has no thread or encryption on its way: the link over the network (`hpcml.engines.mpi.link`) has both.
"""

import contextlib
import os
import secrets
import select
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterator

from hpcml.engines.channel import Channel
from hpcml.engines.mpi.packet import HEADER_BYTES, Packet, read_header
from hpcml.errors import EngineError

__all__ = ["DriverSocketLink", "RelaySocketLink"]

_CREDENTIALS = struct.Struct("3i")  # process, user and group; unix(7), SO_PEERCRED


def _is_own(connection: socket.socket) -> bool:
    """Return whether the process at the other end is of this user; its name may be known to others."""
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(found)[1]) == os.getuid()


def _read_packet(message: bytes) -> Packet:
    kind, slot, generation, _ = read_header(message)
    return Packet(kind, slot, generation, memoryview(message)[HEADER_BYTES:])


def _join(packet: Packet) -> bytes:
    return b"".join((packet.header(), packet.body))


class RelaySocketLink:
    """The relay's end; ``name`` is the address of its socket, of which there is no file."""

    def __init__(self) -> None:
        self.name = f"hpcml-{secrets.token_hex(16)}"
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(f"\0{self.name}")
        self._listener.listen()
        self._listener.setblocking(False)
        self._epoll = select.epoll()
        self._epoll.register(self._listener, select.EPOLLIN)
        self._channel: Channel | None = None
        self._arrived: deque[Packet] = deque()

    def fileno(self) -> int:
        """Return the file descriptor that can be read when packets have arrived."""
        return self._epoll.fileno()

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            connection, _ = self._listener.accept()
            if not _is_own(connection):
                connection.close()
                return
            self._channel = Channel(lambda message: self._arrived.append(_read_packet(message)), connection)
            self._epoll.unregister(self._listener)
            self._epoll.register(self._channel, select.EPOLLIN)

    def send(self, packet: Packet) -> None:
        """Send a packet; wait where the driver is slow to read, for its thread always reads."""
        if self._channel is not None and self._channel.send(_join(packet)):
            while self._channel.flush():
                select.select([], [self._channel], [])

    def receive(self) -> Iterator[Packet]:
        """Yield the packets that have arrived."""
        if self._epoll.poll(0):
            if self._channel is None:
                self._accept()
            elif not self._channel.receive():
                self._epoll.unregister(self._channel)  # the launcher ends this relay
        while self._arrived:
            yield self._arrived.popleft()

    def close(self) -> None:
        """Close the socket."""
        self._listener.close()
        if self._channel is not None:
            self._channel.close()
        self._epoll.close()


class DriverSocketLink:
    """The driver's end: any thread sends, and a thread calls `take` with each packet that arrives.

    Raises
    ------
    EngineError
        Another user's process listens at this name.
    """

    def __init__(self, name: str, take: Callable[[Packet], None]) -> None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.connect(f"\0{name}")
        if not _is_own(connection):
            raise EngineError(f"the socket {name} is another user's")
        self._channel = Channel(lambda message: take(_read_packet(message)), connection)
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="hpcml-mpi-link", daemon=True)
        self._thread.start()

    def send(self, packet: Packet) -> None:
        """Send a packet, or leave the rest of it to the thread where the relay is slow to read."""
        if not self._is_closing and self._channel.send(_join(packet)):
            os.eventfd_write(self._wake, 1)

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        while not self._is_closing:
            for descriptor, _ in poll.poll():
                if descriptor == self._wake:
                    os.eventfd_read(self._wake)
            if not self._is_closing and not self._channel.receive():
                return  # the relay has ended
            poll.modify(self._channel, select.POLLIN | (select.POLLOUT if self._channel.flush() else 0))

    def close(self) -> None:
        """End the thread, and close the socket."""
        self._is_closing = True
        os.eventfd_write(self._wake, 1)
        if threading.current_thread() is not self._thread:
            self._thread.join(10)
        self._channel.close()
        os.close(self._wake)
