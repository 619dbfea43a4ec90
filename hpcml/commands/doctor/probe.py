"""Program of a node for ``hpcml doctor``: ``python -m hpcml.commands.doctor.probe``.

::

    driver                            probe ── {"clock"}, {"stage"} …, {"computer"}, {"imported"} … ─> driver
    driver ── {"offer", "files"} ───> probe ── {"driver"}, {"files"}, {"offer"} ─────────────────────> driver
    driver ── {"probe"} ────────────> probe ── {"clock"}, {"controller"} ────────────────────────────> driver
    driver ── end of input ─────────> probe ends

"offer" and "probe" hold addresses to try, of the driver and of the controller's node; the probe's "offer" holds
its own. Each message carries the name of the node. The probe says before each thing what it begins: the last stage
of one that hangs is the finding.
"""

import contextlib
import dataclasses
import importlib
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from hpcml.commands.doctor.computer import describe_computer
from hpcml.commands.doctor.directories import look_at
from hpcml.engines.nodes.addresses import AddressOffer, reach
from hpcml.engines.nodes.messages import LineReader, claim_output, send_message

__all__ = ["IMPORTED", "main"]

IMPORTED = ("zmq", "numpy")
"""Modules that the probe imports: they hold compiled code, which may not fit a node's processor or system."""

TIMEOUTS = (2.0, 5.0)  # in s, for an address that does not answer: at first, and the second time


class _Sender:
    """Sends messages of this node; several threads use it."""

    def __init__(self, node: str, output: int) -> None:
        self._node = node
        self._output = output
        self._sending = threading.Lock()  # a message may be several lines

    def send(self, **message: object) -> None:
        """Send one message."""
        with self._sending:
            send_message({"node": self._node, **message}, self._output)

    def begin(self, part: str) -> Callable[[str], None]:
        """Return the function that says what this part of the probe begins."""
        return lambda stage: self.send(part=part, stage=stage)


def main() -> None:
    """Send the facts about this node; answer probes until the driver's input ends."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    environment = os.environ
    inbox = LineReader(0)
    sender = _Sender(environment.get("SLURMD_NODENAME", ""), claim_output())
    sender.send(to="start", clock=time.time())
    # A file system that hangs must not keep the node from answering, and from ending.
    threading.Thread(target=_describe, args=(sender, dict(environment)), daemon=True).start()
    offered, waker = os.pipe2(os.O_CLOEXEC)
    while not inbox.ended:
        message = inbox.read(None)
        if message is not None:
            # Each order in a thread of its own, for the addresses of another may not answer.
            threading.Thread(target=_follow, args=(message, sender, offered), daemon=True).start()
    os.close(waker)
    os._exit(0)


def _follow(order: Mapping[str, Any], sender: _Sender, until: int) -> None:
    """Follow one order of the driver."""
    if "probe" in order:
        sender.send(to="probe", clock=time.time())
        sender.send(controller=_reach(order["probe"]))
        return
    threading.Thread(target=_offer, args=(sender, until), daemon=True).start()
    sender.send(driver=_reach(order["offer"]))
    with contextlib.suppress(OSError):
        sender.send(files=look_at(order["files"], sender.begin("files")))


def _offer(sender: _Sender, until: int) -> None:
    """Offer the addresses of this node, and answer those who try them."""
    try:
        offer = AddressOffer()
    except Exception as error:
        sender.send(offer_error=repr(error))
        return
    sender.send(offer=offer.message)
    offer.answer_probes(until)


def _reach(offer: Mapping[str, Any]) -> dict[str, str]:
    addresses = [(address, port) for address, port in offer["addresses"]]
    return reach(addresses, bytes.fromhex(offer["token"]), TIMEOUTS)


def _describe(sender: _Sender, environment: Mapping[str, str]) -> None:
    """Send the facts about this computer, then import the modules."""
    begin = sender.begin("facts")
    sender.send(computer=dataclasses.asdict(describe_computer(environment, begin)))
    for name in IMPORTED:
        begin(f"import {name}")
        began = time.monotonic()
        try:
            module = importlib.import_module(name)
        except Exception as error:
            sender.send(imported=name, result=f"{type(error).__name__}: {error}")
        else:
            seconds = time.monotonic() - began
            curve = name != "zmq" or module.has("curve")
            sender.send(imported=name, result=seconds if curve else "libzmq was built without CURVE")
    sender.send(described=True)


if __name__ == "__main__":
    main()
