"""Engine of ipyparallel in a forked process; zmq is first used here.

Names of ipyparallel that are not public are in the table of `hpcml.engines.libraries`.
"""

import json
import logging
import signal
from collections.abc import MutableMapping
from functools import partial
from typing import Any, TextIO

from hpcml.engines.ipyparallel.message_types import Connection
from hpcml.engines.ipyparallel.outgoing import Outgoing
from hpcml.engines.ipyparallel.plain import PlainProcess
from hpcml.engines.ipyparallel.requests import replace_requests
from hpcml.engines.ipyparallel.view_output import ViewOutput
from hpcml.engines.libraries import check_parts

__all__ = ["IMPORTS", "run_engine"]

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

    The engine's own errors go to `log`; standard output and error are those of tasks and views.

    Raises
    ------
    EngineError
        ipyparallel lacks a name that is used here.
    """
    plain = PlainProcess(environment)
    environment["IPYTHONDIR"] = profile  # the home directory may not be writable here
    check_parts("ipyparallel.engine")
    from ipyparallel.engine.app import IPEngine

    output = ViewOutput(log)
    replace_requests(plain, output, Outgoing(info["mux"]), Outgoing(info["control"]))
    app = IPEngine.instance()
    app.init_signal = _ignore_interrupts
    # The tasks' prints are read from pipes; those of views are redirected when the first of their requests comes.
    app.redirect_output = lambda iopub: output.prepare(partial(IPEngine.redirect_output, app, iopub))
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


def _ignore_interrupts() -> None:
    """Ignore SIGINT between two requests; a view's client may send one to an engine that has just finished.

    During a request the kernel sets Python's own handler. ipyparallel's handler for SIGTERM is left out: children
    of a task would inherit it.
    """
    signal.signal(signal.SIGINT, lambda *_: None)


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
