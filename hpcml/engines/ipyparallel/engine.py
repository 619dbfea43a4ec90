"""Engine of ipyparallel in a forked process; zmq is first used here."""

import json
import logging
import traceback
from collections.abc import MutableMapping
from typing import Any, TextIO

from hpcml.engines.ipyparallel.outgoing import Outgoing
from hpcml.engines.ipyparallel.plain import PlainProcess

__all__ = ["FRAME", "IMPORTS", "report_death", "run_engine"]

FRAME = "hpcml_frame"  # in the content of a message whose one buffer is a frame
# What an engine imports sooner or later; imported before the fork, it is imported and held once.
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
    info: dict[str, Any],
    engine: int,
    predecessor: int | None,
    profile: str,
    *,
    log: TextIO,
    environment: MutableMapping[str, str],
) -> None:
    """Run ipyparallel's engine in this process, after reporting the death of `predecessor`.

    The engine's own errors go to `log`; standard output and error are the tasks'.
    """
    plain = PlainProcess(environment)
    environment["IPYTHONDIR"] = profile  # the home directory may not be writable here
    from ipyparallel.engine.app import IPEngine
    from ipyparallel.engine.kernel import IPythonParallelKernel

    app = IPEngine.instance()
    app.init_signal = lambda: None  # a task's children would inherit the engine's way to end
    # What a task prints has ways of its own, and nobody asks whether an engine is busy: without these, each
    # frame costs its engine half as much again, for messages that the controller passes on to nobody.
    app.redirect_output = lambda _: None
    IPythonParallelKernel._publish_status = lambda *_, **__: None
    IPythonParallelKernel.set_parent = lambda *_, **__: None  # whom to send what is printed
    _take_frames(IPythonParallelKernel, plain, Outgoing(info["mux"]))
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
        report_death(app, predecessor)
    app.start()


def _take_frames(kernel_class: Any, plain: PlainProcess, outgoing: Outgoing) -> None:
    """Have an engine's kernel run frames as they come: a function and its arguments cost it a quarter more."""
    from ipyparallel.serialize import serialize_object
    from zmq import POLLOUT

    from hpcml.engines.worker import run_frame

    apply = kernel_class.apply_request

    def answer(kernel: Any, stream: Any, ident: Any, parent: dict[str, Any]) -> None:
        """Answer a request; what has no frame is the kernel's own."""
        if not parent["content"].get(FRAME):
            plain.show()
            apply(kernel, stream, ident, parent)
            return
        content: dict[str, Any] = {"status": "ok"}
        try:
            buffers = serialize_object(plain.run(run_frame, parent["buffers"][0]))
        except BaseException as error:  # without an answer the driver would wait for ever
            content, buffers = _failure(kernel, error), []
        before = outgoing.written()
        kernel.session.send(stream, "apply_reply", content, parent=parent, ident=ident, buffers=buffers)
        stream.flush(POLLOUT)
        outgoing.wait(before, sum(map(len, buffers)))  # the next frame begins when this one cannot be lost

    execute = kernel_class.execute_request

    def run_cell(kernel: Any, *request: Any) -> Any:
        """Execute a cell in the kernel's shell."""
        plain.show()
        return execute(kernel, *request)

    kernel_class.apply_request, kernel_class.execute_request = answer, run_cell


def _failure(kernel: Any, error: BaseException) -> dict[str, Any]:
    """Return the content of an answer that tells of a defect."""
    content = {"status": "error", "ename": type(error).__name__, "evalue": str(error)}
    return content | {
        "traceback": traceback.format_exc().splitlines(),
        "engine_info": kernel.get_engine_info("apply"),
    }


def report_death(app: Any, engine: int) -> None:
    """Unregister a dead engine from the hub; clients then fail what it was doing at once."""
    import zmq

    with app.context.socket(zmq.DEALER) as query:
        app._ensure_curve_keypair()
        query.curve_serverkey = app.curve_serverkey
        query.curve_publickey, query.curve_secretkey = app.curve_publickey, app.curve_secretkey
        query.linger = 5000
        query.connect(app.registration_url)
        app.session.send(query, "unregistration_request", content={"id": engine})
