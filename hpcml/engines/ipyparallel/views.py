"""Clients of ipyparallel's own for views and magics, beside the client that sends the frames.

Names of ipyparallel that are not public are in the table of `hpcml.engines.libraries`.
"""

import importlib
import threading
import time
from typing import Any

from ipyparallel import Client

__all__ = ["ViewClient", "await_news"]

PROBED_ENGINES = 4  # one may run code that leaves no other thread a turn
PROBE_SECONDS = 0.05  # between two probes
PROBES_SECONDS = 10.0  # for all: then the client is used as it is


class ViewClient(Client):  # type: ignore[misc]  # ipyparallel has no types
    """ipyparallel's client; in IPython its magics replace those of any other.

    Parameters
    ----------
    connection
        Arguments of ipyparallel's Client.
    """

    def __init__(self, **connection: Any) -> None:
        super().__init__(**connection)
        await_news(self)
        if importlib.import_module("IPython").get_ipython() is not None:
            self.activate()

    @property
    def is_closed(self) -> bool:
        """True when its connections are closed."""
        return bool(self._closed)


def await_news(client: Any) -> None:
    """Wait until a new client receives news of its requests.

    News that engines send before the client has subscribed to them are lost: ``execute(block=True)`` would wait
    for the last of them for ever. Probes are control requests, which an engine answers while it runs a task.
    """
    received = threading.Event()
    probes: list[str] = []
    deadline = time.monotonic() + PROBES_SECONDS
    while client.ids and not received.is_set() and time.monotonic() < deadline:
        identities, _ = client._build_targets(client.ids[:PROBED_ENGINES])
        probes += [_send_probe(client, identity, received) for identity in identities]
        received.wait(PROBE_SECONDS)
    for number in probes:
        client._futures.pop(number, None)
        client.metadata.pop(number, None)


def _send_probe(client: Any, identity: bytes, received: threading.Event) -> str:
    """Send a signal that is none, number 0, to an engine; return the number of the message."""
    message = client.session.msg("signal_request", content={"sig": 0})
    number: str = message["header"]["msg_id"]
    (answer,) = client.create_message_futures(number, message["header"])
    answer.iopub_callbacks.append(lambda _: received.set())
    client.metadata[number]["status"] = "sent"  # the client drops news about other messages
    client._io_loop.add_callback(client.session.send, client._control_stream, message, ident=identity)
    return number
