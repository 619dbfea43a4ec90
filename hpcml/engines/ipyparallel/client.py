"""The driver's connection to the controller: ipyparallel's client, and the requests beside its public methods.

Names of ipyparallel that are not public are in the table of `hpcml.engines.libraries`.
"""

import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path

from ipyparallel import Client
from ipyparallel.client.futures import MessageFuture
from ipyparallel.error import NoEnginesRegistered, RemoteError
from zmq import Context

from hpcml.engines.ipyparallel.message_types import Connection
from hpcml.engines.ipyparallel.requests import FRAME_KEY
from hpcml.engines.libraries import check_object

__all__ = ["EngineClient", "EngineFailed", "FrameClient"]

# Seconds that the client waits before it fails the requests of a dead engine: an answer that left the engine
# before its death has arrived by then.
LATE_ANSWER_SECONDS = 0.5
CONTEXT_END_SECONDS = 1.0  # that the end of a context takes at most where no node is lost


class EngineFailed(Exception):
    """An engine has not run a frame: the engine is dead, or its kernel failed.

    Parameters
    ----------
    is_alive
        The engine's process is there, in an unknown state.
    """

    def __init__(self, reason: str, *, is_alive: bool) -> None:
        super().__init__(reason)
        self.is_alive = is_alive


class FrameClient(Client):  # type: ignore[misc]  # ipyparallel has no types
    """ipyparallel's client, without the magics that it would make in IPython: those are for views."""

    def activate(self, targets: str = "all", suffix: str = "") -> None:
        """Make no magics."""


class EngineClient:
    """Client of one controller for frames; ``plain`` is that of ipyparallel.

    ``connection`` are the arguments of ipyparallel's Client for another one, of the same controller.

    Parameters
    ----------
    info
        The controller's connection information for clients.
    directory
        Directory of the run, in place of the user's profile.
    timeout
        Seconds for the connection.

    Raises
    ------
    EngineError
        ipyparallel lacks a name that is used here.
    """

    def __init__(self, info: Connection, directory: Path, timeout: float) -> None:
        self.connection = {
            "connection_info": info,
            "profile_dir": str(directory),
            "ipython_dir": str(directory),
        }
        # Not the context that a script gets by Context.instance() and may end.
        self._context = Context()
        try:
            self.plain = FrameClient(**self.connection, context=self._context, timeout=timeout)
            check_object("ipyparallel.client.client:Client()", self.plain)
        except BaseException:
            self._end_context()
            raise
        self._await_late_answers()

    def _await_late_answers(self) -> None:
        """Delay the failure of a dead engine's requests in the client.

        An answer and the news of a death come through different processes, and the client may take them in the
        wrong order (its `_handle_stranded_msgs`). Then it prints "got unknown result", and the task would run
        again.
        """
        client = self.plain
        fail = client._handle_stranded_msgs
        client._handle_stranded_msgs = lambda *engine: client._io_loop.call_later(
            LATE_ANSWER_SECONDS, fail, *engine
        )

    @property
    def registered(self) -> set[int]:
        """Ids of the engines that the hub has announced."""
        return set(self.plain._ids)

    def on_registration(self, callback: Callable[[], None]) -> None:
        """Have `callback` called, in the client's IO thread, when the hub announces an engine or its end."""
        self.plain._registration_callbacks.append(lambda _: callback())

    def ask_engines(self, then: Callable[[], None]) -> None:
        """Ask the hub which engines have registered; `then` is called in the client's IO thread after the answer.

        The hub announces each engine once, and the client receives no announcement before its connection for them
        stands, which takes a while after the hub's first answer.
        """

        def _note(answer: MessageFuture) -> None:
            self.plain._update_engines(answer.result()["content"]["engines"])
            then()

        with contextlib.suppress(OSError):  # the client is closed
            self.plain._send(self.plain._query_stream, "connection_request").add_done_callback(_note)

    def send_frame(self, engine: int, frame: bytes, receive: Callable[[bytes | Exception], None]) -> bool:
        """Send a frame to an engine; return False where the client has no such engine.

        The request is that of a DirectView, whose AsyncResult would cost the driver as much as all the rest.
        `receive` is called with the engine's outcomes, or with an error: `EngineFailed`, when the engine has not
        run the frame.
        """
        try:
            [identity], _ = self.plain._build_targets(engine)
        except (IndexError, NoEnginesRegistered):
            return False
        self._request(identity, [frame], receive)
        return True

    def _request(
        self, identity: bytes, buffers: list[bytes], receive: Callable[[bytes | Exception], None]
    ) -> MessageFuture:
        request = self.plain._send(
            self.plain._mux_stream,
            "apply_request",
            content={FRAME_KEY: True},
            buffers=buffers,
            ident=identity,
            track_outstanding=True,
        )
        request.add_done_callback(lambda done: self._pass_on(done, receive))
        return request

    def _pass_on(self, done: MessageFuture, receive: Callable[[bytes | Exception], None]) -> None:
        answer = done.result()
        if isinstance(answer, RemoteError):
            # ipyparallel's EngineError means that the hub has unregistered the engine.
            answer = EngineFailed(str(answer), is_alive=answer.ename != "EngineError")
        try:
            receive(answer)
        finally:
            self.plain.purge_local_results(done.msg_id)
            self.plain.history.clear()  # it would keep the number of each frame

    def probe(self, timeout: float) -> None:
        """Send a request without a frame to every engine: the connections are then open in both directions."""
        identities, _ = self.plain._build_targets("all")
        requests = [self._request(identity, [], lambda _: None) for identity in identities]
        deadline = time.monotonic() + timeout
        for request in requests:
            request.result(max(deadline - time.monotonic(), 0))

    def close(self) -> None:
        """Close the connections; requests that have no answer yet get none."""
        self.plain.close(linger=0)
        self._end_context()

    def _end_context(self) -> None:
        """End the context of the connections; in a thread, for that never ends where a peer's node is lost.

        Seen with libzmq 4.3.5 and a linger of 0, when messages to that node were under way.
        """
        ending = threading.Thread(
            target=self._context.destroy, kwargs={"linger": 0}, name="hpcml-context", daemon=True
        )
        ending.start()
        ending.join(CONTEXT_END_SECONDS)
