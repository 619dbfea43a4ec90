"""Engine of ipyparallel in a forked process; zmq is first used here.

Names of ipyparallel that are not public are in the table of `hpcml.engines.libraries`.
"""

import json
import logging
import traceback
from collections.abc import Callable, MutableMapping
from typing import Any, TextIO

from hpcml.engines.ipyparallel.message_types import Connection
from hpcml.engines.ipyparallel.outgoing import Outgoing
from hpcml.engines.ipyparallel.plain import PlainProcess
from hpcml.engines.libraries import check_parts

__all__ = ["FRAME_KEY", "IMPORTS", "run_engine"]

FRAME_KEY = "hpcml_frame"  # in the content of a message whose one buffer is a frame
# Modules that an engine imports sooner or later. Imported before the fork, they are imported and in memory once.
IMPORTS = (
    "ipyparallel.engine.app",
    "ipykernel.debugger",
    "IPython.core.completerlib",
    "IPython.core.oinspect",
    "IPython.extensions.storemagic",
    "sqlite3",
    "tornado.platform.asyncio",
    "tornado.queues",
    "encodings.idna",
)


def run_engine(
    info: Connection,
    engine: int,
    predecessor: int | None,
    profile: str,
    *,
    log: TextIO,
    environment: MutableMapping[str, str],
) -> None:
    """Run ipyparallel's engine in this process, after reporting the death of `predecessor`.

    The engine's own errors go to `log`; standard output and error are the tasks'.

    Raises
    ------
    EngineError
        ipyparallel lacks a name that is used here.
    """
    plain = PlainProcess(environment)
    environment["IPYTHONDIR"] = profile  # the home directory may not be writable here
    check_parts("ipyparallel.engine")
    from ipyparallel.engine.app import IPEngine

    _replace_requests(plain, Outgoing(info["mux"]))
    app = IPEngine.instance()
    app.init_signal = lambda: None  # a task's children would inherit the engine's way to end
    app.redirect_output = lambda _: None  # the tasks' prints are read from pipes
    app.connection_info_env = json.dumps(info)
    app.initialize(
        [
            f"--profile-dir={profile}",
            f"--IPEngine.id={engine}",
            "--IPEngine.timeout=60",
            "--IPEngine.enable_nanny=False",
            "--IPEngine.max_heartbeat_misses=40",
            "--HistoryManager.enabled=False",
            "--log-level=ERROR",
        ]
    )
    app.log.setLevel("ERROR")  # the option is for what is shown; records would still be made of each step
    for handler in app.log.handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setStream(log)
    if predecessor is not None:
        _report_death(app, predecessor)
    app.start()


def _replace_requests(plain: PlainProcess, outgoing: Outgoing) -> None:
    """Make the engine's kernel run frames as they arrive: a function and its arguments take it a quarter longer.

    The kernel's news of its state and of prints are off. Without that each frame costs its engine half as much
    again, for messages that the controller sends to no client.
    """
    from ipyparallel.engine.kernel import IPythonParallelKernel

    kernel_class: Any = IPythonParallelKernel
    frames = _FrameRequests(plain, outgoing)
    apply = kernel_class.apply_request
    execute = kernel_class.execute_request

    def apply_request(kernel: Any, stream: Any, ident: Any, parent: dict[str, Any]) -> None:
        """Answer a request: run its frame, or else apply its function in the kernel's shell."""
        if parent["content"].get(FRAME_KEY):
            frames.answer(kernel, stream, ident, parent)
        else:
            plain.show()
            apply(kernel, stream, ident, parent)

    def execute_request(kernel: Any, *request: Any) -> Any:
        """Execute a cell in the kernel's shell."""
        plain.show()
        return execute(kernel, *request)

    kernel_class._publish_status = lambda *_, **__: None
    kernel_class.set_parent = lambda *_, **__: None  # the request that prints would be sent to
    kernel_class.apply_request = apply_request
    kernel_class.execute_request = execute_request


class _FrameRequests:
    """Requests for frames; all modules that their answers need are imported before the first task runs."""

    def __init__(self, plain: PlainProcess, outgoing: Outgoing) -> None:
        from ipyparallel.serialize import serialize_object
        from zmq import POLLOUT

        from hpcml.engines.worker import run_frame

        self._plain = plain
        self._outgoing = outgoing
        self._serialize: Callable[[bytes], list[bytes]] = serialize_object
        self._writable = POLLOUT
        self._run_frame = run_frame

    def answer(self, kernel: Any, stream: Any, ident: Any, parent: dict[str, Any]) -> None:
        """Run the frame of a request, send its outcomes, and wait until the system's kernel has them."""
        content: dict[str, object] = {"status": "ok"}
        buffers: list[bytes] = []
        try:
            buffers = self._serialize(self._plain.run(self._run_frame, parent["buffers"][0]))
        except BaseException as error:  # without an answer the driver would wait for ever
            content = _failure(kernel, error)
        before = self._outgoing.written()
        kernel.session.send(stream, "apply_reply", content, parent=parent, ident=ident, buffers=buffers)
        stream.flush(self._writable)
        # The next frame begins when this answer cannot be lost any more.
        self._outgoing.wait(before, sum(map(len, buffers)))


def _failure(kernel: Any, error: BaseException) -> dict[str, object]:
    """Return the content of an answer for a frame that could not be run, or its outcomes not be sent."""
    return {
        "status": "error",
        "ename": type(error).__name__,
        "evalue": str(error),
        "traceback": traceback.format_exc().splitlines(),
        "engine_info": kernel.get_engine_info("apply"),
    }


def _report_death(app: Any, engine: int) -> None:
    """Unregister a dead engine from the hub; clients then fail the requests of that engine at once."""
    import zmq

    with app.context.socket(zmq.DEALER) as query:
        app._ensure_curve_keypair()
        query.curve_serverkey = app.curve_serverkey
        query.curve_publickey = app.curve_publickey
        query.curve_secretkey = app.curve_secretkey
        query.linger = 5000
        query.connect(app.registration_url)
        app.session.send(query, "unregistration_request", content={"id": engine})
