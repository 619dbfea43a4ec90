"""What a forked process does to be ipyparallel's engine; zmq is first used here."""

import json
from typing import Any

__all__ = ["IMPORTS", "report_death", "run_engine"]

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


def run_engine(info: dict[str, Any], engine: int, predecessor: int | None, profile: str) -> None:
    """Run ipyparallel's engine in this process, after reporting the death of `predecessor`."""
    from ipyparallel.engine.app import IPEngine
    from ipyparallel.engine.kernel import IPythonParallelKernel

    app = IPEngine.instance()
    # What a task prints travels with its outcome, and nobody asks whether an engine is busy: without these, each
    # frame costs its engine half as much again, for messages that the controller passes on to nobody.
    app.redirect_output = lambda _: None
    IPythonParallelKernel._publish_status = lambda *_, **__: None
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
    if predecessor is not None:
        report_death(app, predecessor)
    app.start()


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
