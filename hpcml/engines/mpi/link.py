"""Link between the driver and the relay of one node: an encrypted socket, at one address."""

import os
import select
import threading
from collections.abc import Callable, Iterator

import zmq

from hpcml.engines.mpi.packet import Packet, read_header
from hpcml.engines.nodes.curve import KeyPair, secured

__all__ = ["DriverLink", "RelayLink"]


class _Link:
    """A socket for packets; each end has one peer."""

    def __init__(self, keys: KeyPair, address: str) -> None:
        factory = secured(keys, lambda: address)
        self._context = factory.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.linger = 0
        self._socket.sndhwm = self._socket.rcvhwm = 0  # the dispatcher bounds what is sent

    def fileno(self) -> int:
        """Return the file descriptor that can be read when packets have arrived; see zmq_getsockopt(3)."""
        return int(self._socket.fd)

    def send(self, packet: Packet) -> None:
        """Send a packet."""
        self._socket.send_multipart([packet.header(), packet.body], zmq.NOBLOCK, copy=len(packet.body) < 1 << 16)

    def receive(self) -> Iterator[Packet]:
        """Yield the packets that have arrived."""
        while self._socket.events & zmq.POLLIN:
            header, body = self._socket.recv_multipart(zmq.NOBLOCK)
            kind, slot, generation, _ = read_header(header)
            yield Packet(kind, slot, generation, body)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
        self._context.term()


class RelayLink(_Link):
    """The relay's end, which listens at `address`."""

    def __init__(self, keys: KeyPair, address: str) -> None:
        super().__init__(keys, address)
        self.port = self._socket.bind_to_random_port(f"tcp://{address}")


class DriverLink(_Link):
    """The driver's end: any thread sends, and a thread calls `take` with each packet that arrives."""

    def __init__(self, keys: KeyPair, address: str, port: int, take: Callable[[Packet], None]) -> None:
        super().__init__(keys, address)
        self._socket.connect(f"tcp://{address}:{port}")
        self._take = take
        self._lock = threading.Lock()  # protects the socket
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="hpcml-mpi-link", daemon=True)
        self._thread.start()

    def send(self, packet: Packet) -> None:
        """Send a packet."""
        with self._lock:
            if self._is_closing:
                return
            super().send(packet)
            # To send may take the news that packets have arrived from the descriptor.
            if self._socket.events & zmq.POLLIN:
                os.eventfd_write(self._wake, 1)

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self.fileno(), select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        while not self._is_closing:
            for descriptor, _ in poll.poll():
                if descriptor == self._wake:
                    os.eventfd_read(self._wake)
            while not self._is_closing:
                with self._lock:
                    packets = list(self.receive())
                if not packets:
                    break
                for packet in packets:
                    self._take(packet)

    def close(self) -> None:
        """End the thread, and close the socket."""
        with self._lock:
            self._is_closing = True
        os.eventfd_write(self._wake, 1)
        if threading.current_thread() is not self._thread:
            self._thread.join(10)
        self._socket.close()
        # With a lost node the end of a context may never come; see `EngineClient.close`.
        threading.Thread(target=self._context.term, daemon=True).start()
        os.close(self._wake)
