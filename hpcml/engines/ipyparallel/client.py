"""Requests to ipyparallel's client beside its public methods."""

import contextlib
from collections.abc import Callable
from typing import Any

from ipyparallel import Client
from ipyparallel.client.futures import MessageFuture

from hpcml.engines.ipyparallel.engine import FRAME

__all__ = ["ask_engines", "await_late_answers", "send_frame"]

LATE_SECONDS = 0.5  # an answer that had left a dead engine has come by then


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


def await_late_answers(client: Client) -> None:
    """Have the client wait a moment before it fails what a dead engine had to do.

    An answer and the news of a death come through different processes, and the client may take them in the wrong
    order (its `_handle_stranded_msgs`). Then it prints "got unknown result", and the task would run again.
    """
    fail = client._handle_stranded_msgs
    client._handle_stranded_msgs = lambda *engine: client._io_loop.call_later(LATE_SECONDS, fail, *engine)


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
