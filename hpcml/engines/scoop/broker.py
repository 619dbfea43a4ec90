"""SCOOP's broker in a thread of the script's process; peers that have ended do not end it."""

import threading
from collections.abc import Callable
from typing import Any

from hpcml.errors import EngineError

__all__ = ["BrokerThread", "SLOT_KEY"]  # noqa: RUF022  plain order

SLOT_KEY = "hpcml"  # key of a worker's node and slot in the configuration that SCOOP sends to the broker


class BrokerThread:
    """Forwards tasks and results until the origin ends it.

    ``connected`` holds node and slot of each worker that has connected.

    Parameters
    ----------
    address
        The one address that it serves at.
    failed
        Called in the broker's thread when the broker has failed.
    """

    def __init__(self, library: Any, address: str, failed: Callable[[BaseException], None]) -> None:
        self._failed = failed
        self.connected: set[tuple[str, int]] = set()
        self.address = address
        try:
            self._broker = library.broker.Broker(f"tcp://{address}:*", f"tcp://{address}:*", hostname=address)
        except library.broker.zmq.ZMQError as error:
            raise EngineError(
                f"SCOOP's broker cannot serve at {address} ({error}): `ss -tan` shows who holds its ports"
            ) from error
        self.ports: tuple[int, int] = self._broker.getPorts()
        self._broker.processConfig = self._add_worker
        self._broker.task_socket = _TolerantSocket(self._broker.task_socket, library.broker.zmq)
        self._thread = threading.Thread(target=self._run, name="hpcml-broker", daemon=True)
        self._thread.start()

    def _add_worker(self, configuration: dict[str, Any]) -> None:
        """Note the slot of a worker that connects; called in the broker's thread."""
        if SLOT_KEY in configuration:
            self.connected.add(tuple(configuration[SLOT_KEY]))

    def _run(self) -> None:
        try:
            self._broker.run()
        except BaseException as error:
            self._failed(EngineError(f"SCOOP's broker has failed: {type(error).__name__}: {error}"))

    def join(self, seconds: float) -> bool:
        """Wait for the broker's end; return whether it has ended within so many seconds."""
        self._thread.join(seconds)
        return not self._thread.is_alive()


class _TolerantSocket:
    """The broker's socket; messages for a peer that has ended are dropped: the error would end SCOOP's broker."""

    def __init__(self, socket: Any, zmq: Any) -> None:
        self._socket = socket
        self._zmq = zmq

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)

    def send_multipart(self, frames: Any) -> None:
        """Send frames, or drop them where their peer has ended."""
        try:
            self._socket.send_multipart(frames)
        except self._zmq.ZMQError as error:
            if error.errno != self._zmq.EHOSTUNREACH:
                raise
