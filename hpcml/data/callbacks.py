"""Callbacks of scikit-learn in tasks: their messages reach the driver also from other nodes.

A callback sends messages to the driver by a UNIX socket (`sklearn.callback._transport`), which exists on the
driver's node alone. From other nodes, the messages of a task are sent with its result, and the callback receives
them when the result is unpickled. A failed socket must not be an error of a fit: scikit-learn would turn that into
a score.

Recorded results hold the names of this module and of `_deliver`.
"""

import logging
import pickle
import sys
from multiprocessing import AuthenticationError
from typing import Any

from hpcml.data.out_of_band import OutOfBand, reducers

__all__ = ["send_callbacks", "with_messages"]

log = logging.getLogger("hpcml")

TRANSPORT = "sklearn.callback._transport"

_messages: list[tuple[str, bytes]] = []
"""On a worker, the messages of its task, each after the address of its listener in the driver."""


def send_callbacks() -> None:
    """In the driver, make callbacks that are sent to tasks send their messages to this process."""
    transport: Any = sys.modules.get(TRANSPORT)
    if transport is not None:
        reducers.setdefault(transport.ListenerHandle, _reduce)


def _reduce(handle: Any, _: OutOfBand) -> tuple[Any, ...]:
    return _arrive, tuple(handle)


def _arrive(address: str, authkey: bytes) -> Any:
    """Return the handle of a listener in the driver; connections to it are from now on a `_Connection`."""
    from sklearn.callback import _transport

    if not isinstance(_transport.Client, _Connect):
        _transport.Client = _Connect(_transport.Client)
    return _transport.ListenerHandle(address, authkey)


class _Connect:
    """Replacement of `multiprocessing.connection.Client` that never fails."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def __call__(self, address: str, authkey: bytes) -> "_Connection":
        try:
            return _Connection(address, self.client(address, authkey=authkey))
        except (OSError, EOFError, AuthenticationError):
            return _Connection(address, None)


class _Connection:
    """A connection to a listener; without one, or after it has failed, messages go with the task's result."""

    def __init__(self, address: str, socket: Any) -> None:
        self._address = address
        self._socket = socket

    def send(self, message: object) -> None:
        """Send a message; see `multiprocessing.connection.Connection`."""
        if self._socket is not None:
            try:
                self._socket.send(message)
                self._socket.recv()
            except (OSError, EOFError):
                self._socket = None
        if self._socket is None:
            _messages.append((self._address, pickle.dumps(message)))

    def recv(self) -> None:
        """Return at once: `send` has waited for the answer."""

    def close(self) -> None:
        """End the connection."""
        if self._socket is not None:
            self._socket.close()


class _WithMessages:
    """A result with the messages of its task; its pickle is loaded as the result alone."""

    def __init__(self, value: object, messages: list[tuple[str, bytes]]) -> None:
        self._value = value
        self._messages = messages

    def __reduce__(self) -> tuple[Any, ...]:
        return _deliver, (self._messages, self._value)


def with_messages(value: object) -> object:
    """On a worker, return the object to pickle as a task's result: with the messages of the task, if any."""
    if not _messages:
        return value
    messages = _messages.copy()
    _messages.clear()
    return _WithMessages(value, messages)


def _deliver(messages: list[tuple[str, bytes]], value: Any) -> Any:
    """Give messages to their listeners, and return the result; a recorded result has no listeners."""
    transport: Any = sys.modules.get(TRANSPORT)
    for address, message in messages:
        consume = transport and transport._message_consumers.get(address)
        if consume is not None:
            try:
                consume(pickle.loads(message))
            except Exception:
                log.exception("a callback of scikit-learn could not take a message")
    return value
