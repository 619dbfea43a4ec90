"""Program of the controller's step: offers its addresses, and serves at the one that the driver chooses.

``python -m hpcml.engines.ipyparallel.controller ENGINES``; see `message_types` for the messages.
"""

import os
import resource
import signal
import socket
import sys
import tempfile
import threading
from typing import Any

from hpcml.engines.ipyparallel.message_types import Connection
from hpcml.engines.libraries import check_object, check_parts
from hpcml.engines.nodes.addresses import AddressOffer
from hpcml.engines.nodes.forked import end_forks_with_parent
from hpcml.engines.nodes.messages import LineReader, claim_output, send_message
from hpcml.errors import EngineError

__all__ = ["Ports", "agree_on_address", "heartbeat", "main", "serve"]

HEARTBEAT_TIMEOUT_MILLISECONDS = 8_000  # without an answer, until an engine counts as dead


def agree_on_address(inbox: LineReader, output: int) -> str | None:
    """Offer the addresses of this node, and return the one that the driver chooses; None where it ends instead."""
    offer = AddressOffer()
    send_message(offer.message, output)
    offer.answer_probes(until=inbox.descriptor)
    offer.close()
    message = inbox.read(0)
    return message["bind"] if message else None


class Ports:
    """Free ports of `address`, each reserved until the controller binds it.

    A port that is found free and released may be another controller's a moment later. A port that is bound here,
    but not listened on, can be bound once more with SO_REUSEADDR, as zmq does; the kernel does not assign it to
    processes that ask for any port (tcp(7)).
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._reserved: list[socket.socket] = []

    def next_port(self, _pool: str = "") -> int:
        """Return a port; see `ipyparallel.controller.app.IPController.next_port`.

        Raises
        ------
        EngineError
            No port is free.
        """
        reserving = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        reserving.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            reserving.bind((self._address, 0))
        except OSError as error:
            raise EngineError(
                f"no port is free on {self._address} ({error.strerror}): `ss -tan` shows who holds them, "
                "`sysctl net.ipv4.ip_local_port_range` how many there are"
            ) from error
        self._reserved.append(reserving)
        port: int = reserving.getsockname()[1]
        return port


def serve(address: str, profile: str, ping: int, inbox: LineReader, output: int) -> None:
    """Run ipyparallel's controller on `address` until standard input ends; `ping` as for `heartbeat`."""
    check_parts("ipyparallel.controller")
    from ipyparallel.controller.app import IPController

    os.environ["IPYTHONDIR"] = profile  # the home directory may not be writable here
    _complete_broadcasts()
    app = IPController.instance()
    app.next_port = Ports(address).next_port
    app.write_connection_files = False  # the driver sends the connection information; no key is on a disk
    app.initialize(_options(address, profile, ping))
    check_object("ipyparallel.controller.app:IPController()", app)
    # The option concerns the lines that are shown; a record would still be made of each heartbeat.
    app.log.setLevel("ERROR")
    app.hub.monitor.socket.unsubscribe(b"")  # else the hub reads every frame and outcome, to keep a record of it
    app.hub.monitor.socket.subscribe(b"heartmonitor")
    check_object("ipyparallel.controller.hub:Hub()", app.hub)
    app.hub.query_handlers["shutdown_request"] = lambda *request: _refuse_to_end(app, *request)
    app.loop.add_callback(lambda: send_message({"client": _client_info(app), "engine": _engine_info(app)}, output))
    threading.Thread(target=_listen, args=(inbox, output), daemon=True).start()
    app.start()


def _options(address: str, profile: str, ping: int) -> list[str]:
    """Return the options of ipyparallel's controller."""
    return [
        f"--profile-dir={profile}",
        f"--ip={address}",
        f"--location={address}",
        f"--ping={ping}",
        "--nodb",
        f"--HeartMonitor.max_heartmonitor_misses={HEARTBEAT_TIMEOUT_MILLISECONDS // ping}",
        "--IPController.enable_curve=True",
        "--IPController.broadcast_scheduler_depth=0",
        "--log-level=ERROR",
    ]


def _refuse_to_end(app: Any, client: bytes, request: Any) -> None:
    """Answer a client's request to end, and go on: the controller is the Cluster's, and ends with it."""
    app.session.send(app.hub.query, "shutdown_reply", content={"status": "ok"}, ident=client, parent=request)


def _complete_broadcasts() -> None:
    """Have the one scheduler for broadcasts name the engines of a coalesced reply with their ids.

    ipyparallel's own leaves the ids to the scheduler above it. There is none, for each is a process of its own.
    """
    from ipyparallel.controller.broadcast_scheduler import BroadcastScheduler

    scheduler_class: Any = BroadcastScheduler
    send = scheduler_class.send_to_targets

    def _send(scheduler: Any, message: Any, message_id: str, *others: Any) -> None:
        send(scheduler, message, message_id, *others)
        if message_id in scheduler.accumulated_targets:
            scheduler.accumulated_targets[message_id] = message["metadata"]["targets"]

    scheduler_class.send_to_targets = _send


def _shared_info(app: Any) -> Connection:
    return {
        "ssh": "",
        "key": app.session.key.decode("ascii"),
        "curve_serverkey": app.curve_publickey.decode("ascii"),
        "location": app.location,
        "pack": app.session.packer,
        "unpack": app.session.unpacker,
        "signature_scheme": app.session.signature_scheme,
    }


def _client_info(app: Any) -> Connection:
    return {**app.client_info, **_shared_info(app)}


def _engine_info(app: Any) -> Connection:
    return {**app.engine_info, **_shared_info(app)}


def _listen(inbox: LineReader, output: int) -> None:
    """Answer the driver's questions whether the controller is alive, until the driver's input ends."""
    while not inbox.ended:
        if inbox.read(None) is not None:
            send_message({"alive": ""}, output)
    os.kill(os.getpid(), signal.SIGTERM)  # the controller's handler ends its own processes too


def heartbeat(engines: int) -> int:
    """Return the milliseconds between heartbeats: the first of an engine registers it, each costs 0.1 ms.

    Examples
    --------
    >>> from hpcml.engines.ipyparallel.controller import heartbeat
    >>> heartbeat(12), heartbeat(1000)
    (100, 500)
    """
    return max(100, engines // 2)


def main(engines: int) -> None:
    """Raise the limit on open files (each engine needs several), agree on an address, serve."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    # ipyparallel forks helper processes; without this they would outlive a controller that is killed.
    end_forks_with_parent()
    inbox = LineReader(0)
    output = claim_output()
    address = agree_on_address(inbox, output)
    if address is not None:
        with tempfile.TemporaryDirectory(prefix="hpcml-") as profile:  # ipyparallel needs one
            serve(address, profile, heartbeat(engines), inbox, output)


if __name__ == "__main__":
    main(int(sys.argv[1]))
