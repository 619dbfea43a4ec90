"""scikit-learn's callbacks in tasks: what they report comes to the driver also from other nodes.

They report by a UNIX socket (`sklearn.callback._transport`), which is there on the driver's own node only.
Elsewhere the messages of a task come with its result, and are given to the callback when that is unpickled. A
socket that fails is no error of a fit, which scikit-learn would make a score of.
"""

import logging
import pickle
import sys
from multiprocessing import AuthenticationError
from typing import Any

from hpcml.data.out_of_band import OutOfBand, reduces

__all__ = ["watch", "with_messages"]

log = logging.getLogger("hpcml")

TRANSPORT = "sklearn.callback._transport"

_sent: list[tuple[str, bytes]] = []  # on a worker: messages of its task, with the address of who waits for them


def watch() -> None:
    """In the driver, have callbacks that are sent to tasks report to it."""
    transport: Any = sys.modules.get(TRANSPORT)
    if transport is not None:
        reduces.setdefault(transport.ListenerHandle, _reduce)


def _reduce(handle: Any, _: OutOfBand) -> tuple[Any, ...]:
    return _arrive, tuple(handle)


def _arrive(address: str, authkey: bytes) -> Any:
    """Return the handle of a listener; on a worker, connections are then made by `_Line`."""
    from sklearn.callback import _transport

    if not isinstance(_transport.Client, _Connect):
        _transport.Client = _Connect(_transport.Client)
    return _transport.ListenerHandle(address, authkey)


class _Connect:
    """Stands for `multiprocessing.connection.Client`, and never fails."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def __call__(self, address: str, authkey: bytes) -> "_Line":
        try:
            return _Line(address, self.client(address, authkey=authkey))
        except (OSError, EOFError, AuthenticationError):
            return _Line(address, None)


class _Line:
    """A connection to a listener, or where there is none, or no longer one, the way by a task's result."""

    def __init__(self, address: str, socket: Any) -> None:
        self._address = address
        self._socket = socket

    def send(self, message: Any) -> None:
        """Send a message; see `multiprocessing.connection.Connection`."""
        if self._socket is not None:
            try:
                self._socket.send(message)
                self._socket.recv()
            except (OSError, EOFError):
                self._socket = None
        if self._socket is None:
            _sent.append((self._address, pickle.dumps(message)))

    def recv(self) -> None:
        """Return at once: `send` has waited."""

    def close(self) -> None:
        """End the connection."""
        if self._socket is not None:
            self._socket.close()


class _Reported:
    """A result with the messages of its task; it arrives as the result alone."""

    def __init__(self, value: Any, messages: list[tuple[str, bytes]]) -> None:
        self._value = value
        self._messages = messages

    def __reduce__(self) -> Any:
        return _deliver, (self._messages, self._value)


def with_messages(value: Any) -> Any:
    """On a worker, return what is packed in place of a task's result: it takes the task's messages along."""
    if not _sent:
        return value
    messages = _sent.copy()
    _sent.clear()
    return _Reported(value, messages)


def _deliver(messages: list[tuple[str, bytes]], value: Any) -> Any:
    """Give messages to those who wait for them; nobody waits for those of a recorded result."""
    transport: Any = sys.modules.get(TRANSPORT)
    for address, message in messages:
        consume = transport and transport._message_consumers.get(address)
        if consume is not None:
            try:
                consume(pickle.loads(message))
            except Exception:
                log.exception("a callback of scikit-learn could not take a message")
    return value
