"""Frames to a worker process over a socket, and their outcomes back; each message begins with its length."""

import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterator

__all__ = ["Channel", "serve"]

RECEIVE_BYTES = 1 << 18  # of one system call
COPY_LIMIT_BYTES = 1 << 16  # to copy a shorter message costs less than a second system call
_LENGTH = struct.Struct("<Q")


class Channel:
    """The sender's end of a worker's socket.

    Parameters
    ----------
    on_outcome
        Called with the outcome of each frame, in the order in which the frames were sent.
    connection
        This end of the socket.
    """

    def __init__(self, on_outcome: Callable[[bytes], None], connection: socket.socket) -> None:
        self._socket = connection
        self._socket.setblocking(False)
        self._on_outcome = on_outcome
        self._unsent: deque[memoryview] = deque()
        self._buffer = bytearray()  # received, and no complete outcome yet
        # Each lock protects one direction.
        self._sending = threading.Lock()
        self._receiving = threading.Lock()

    def fileno(self) -> int:
        """Return the file descriptor, for `selectors`."""
        return self._socket.fileno()

    def send(self, frame: bytes) -> bool:
        """Send a frame, as far as there is room; return whether a part of it is left for `flush`."""
        with self._sending:
            self._unsent += map(memoryview, _message(frame))
            return self._flush()

    def flush(self) -> bool:
        """Send the rest of the frames, as far as there is room; return whether a part is left."""
        with self._sending:
            return self._flush()

    def _flush(self) -> bool:
        try:
            while self._unsent:
                sent = self._socket.send(self._unsent[0], socket.MSG_NOSIGNAL)
                if rest := self._unsent.popleft()[sent:]:
                    self._unsent.appendleft(rest)
        except BlockingIOError:
            pass
        except OSError:  # the worker has ended, which loky reports
            self._unsent.clear()
        return bool(self._unsent)

    def receive(self) -> bool:
        """Pass on the outcomes that have arrived; return whether others may follow."""
        with self._receiving:
            is_open = self._read()
            for outcome in self._complete():
                self._on_outcome(outcome)
            return is_open

    def _read(self) -> bool:
        try:
            while block := self._socket.recv(RECEIVE_BYTES):
                self._buffer += block
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def _complete(self) -> Iterator[bytes]:
        while len(self._buffer) >= _LENGTH.size:
            end = _LENGTH.size + _LENGTH.unpack_from(self._buffer)[0]
            if len(self._buffer) < end:
                return
            with memoryview(self._buffer) as view:
                outcome = bytes(view[_LENGTH.size : end])
            del self._buffer[:end]
            yield outcome

    def close(self) -> None:
        """Close this end."""
        with self._sending, self._receiving:
            self._socket.close()


def serve(connection: socket.socket, run: Callable[[bytes], bytes]) -> None:
    """Run the frames that arrive over a socket, on a worker, until the driver closes its end."""
    with connection, connection.makefile("rb") as incoming:
        while len(length := incoming.read(_LENGTH.size)) == _LENGTH.size:
            outcome = run(incoming.read(*_LENGTH.unpack(length)))
            for part in _message(outcome):
                connection.sendall(part, socket.MSG_NOSIGNAL)


def _message(content: bytes) -> list[bytes]:
    """Return the parts to send: the length, and the content."""
    length = _LENGTH.pack(len(content))
    return [length + content] if len(content) < COPY_LIMIT_BYTES else [length, content]
