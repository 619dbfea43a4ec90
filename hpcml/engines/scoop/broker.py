"""SCOOP's broker in a thread of the launching process; it survives peers that are gone, and tells of its end."""

import threading
from collections.abc import Callable
from typing import Any

from hpcml.errors import EngineError

__all__ = ["BrokerThread", "PLACE"]  # noqa: RUF022  plain order

PLACE = "hpcml"  # the word in a worker's configuration that says where the worker is


class BrokerThread:
    """Passes on tasks and results until the origin ends it.

    ``here`` holds the places, ``(node, slot)``, of the workers that have connected.

    Parameters
    ----------
    address
        The one address that it serves at.
    failed
        Called in the broker's thread when it cannot go on.
    """

    def __init__(self, library: Any, address: str, failed: Callable[[BaseException], None]) -> None:
        self._failed = failed
        self.here: set[tuple[str, int]] = set()
        self.address = address
        try:
            self._broker = library.broker.Broker(f"tcp://{address}:*", f"tcp://{address}:*", hostname=address)
        except library.broker.zmq.ZMQError as error:
            raise EngineError(
                f"SCOOP's broker cannot serve at {address} ({error}): `ss -tan` shows who holds its ports"
            ) from error
        self.ports: tuple[int, int] = self._broker.getPorts()
        self._broker.processConfig = self._note
        self._broker.task_socket = _TolerantSocket(self._broker.task_socket, library.broker.zmq)
        self._thread = threading.Thread(target=self._run, name="hpcml-broker", daemon=True)
        self._thread.start()

    def _note(self, configuration: dict[str, Any]) -> None:
        """Take what a worker says of itself when it connects; in the broker's thread."""
        if PLACE in configuration:
            self.here.add(tuple(configuration[PLACE]))

    def _run(self) -> None:
        try:
            self._broker.run()
        except BaseException as error:
            self._failed(EngineError(f"SCOOP's broker has failed: {type(error).__name__}: {error}"))

    def join(self, seconds: float) -> bool:
        """Wait until it has ended; False when it has not."""
        self._thread.join(seconds)
        return not self._thread.is_alive()


class _TolerantSocket:
    """The broker's socket; what is for a peer that is gone is dropped, as SCOOP's broker would not survive it."""

    def __init__(self, socket: Any, zmq: Any) -> None:
        self._socket = socket
        self._zmq = zmq

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)

    def send_multipart(self, frames: Any) -> None:
        """Send, or drop."""
        try:
            self._socket.send_multipart(frames)
        except self._zmq.ZMQError as error:
            if error.errno != self._zmq.EHOSTUNREACH:
                raise
