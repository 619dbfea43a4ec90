"""What the driver asks of ipyparallel's client beside its public methods."""

import contextlib
from collections.abc import Callable
from typing import Any

from ipyparallel import Client
from ipyparallel.client.futures import MessageFuture

from hpcml.engines.ipyparallel.engine import FRAME

__all__ = ["ask_engines", "send_frame"]


def ask_engines(client: Client, then: Callable[[], None]) -> None:
    """Ask which engines have registered; `then` is called in the client's IO thread when it knows.

    The hub announces each once, and a client hears nothing before its connection for news stands, which
    takes a while after it has been told who is there.
    """

    def _note(answer: Any) -> None:
        client._update_engines(answer.result()["content"]["engines"])
        then()

    with contextlib.suppress(OSError):  # the client is closed
        client._send(client._query_stream, "connection_request").add_done_callback(_note)


def send_frame(client: Client, number: int, frame: bytes) -> MessageFuture:
    """Send what a DirectView would; its AsyncResult would take the driver as long as all the rest."""
    [engine], _ = client._build_targets(number)
    return client._send(
        client._mux_stream,
        "apply_request",
        content={FRAME: True},
        buffers=[frame],
        ident=engine,
        track_outstanding=True,
    )
