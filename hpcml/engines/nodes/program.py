"""Program of a node: reports the node, imports, answers a probe, then watches its workers and its input.

::

    driver ── standard input ──> node program ── fork ──> worker of slot 0, worker of slot 1, …
    driver <── standard output ──┘

No thread is alive when a worker is forked.
"""

import contextlib
import gc
import importlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from multiprocessing.connection import wait
from typing import Any, NoReturn, Protocol

from hpcml.engines.nodes.addresses import reach
from hpcml.engines.nodes.messages import LineReader, Offer, claim_output, send_message

__all__ = [
    "Supervisor",
    "answer_probe",
    "end_on_signals",
    "hold_end_signals",
    "ignore_end_signals",
    "import_modules",
    "introduce",
    "watch",
]

_END_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_held: list[int] = []  # signals that came while they were held
_ends: list[int] = []  # signal that this program ends at


class Supervisor(Protocol):
    """The object that looks after the workers of a node; `watch` calls it."""

    @property
    def watched(self) -> list[int]:
        """File descriptors that have something to read when workers have printed."""
        ...

    @property
    def timeout(self) -> float | None:
        """Seconds until the next `forward_prints`, whatever there is to read; None: no limit."""
        ...

    def forward_prints(self) -> None:
        """Send the prints of the workers to the driver."""
        ...

    def reap(self) -> None:
        """Report the workers that have ended."""
        ...

    def handle(self, message: dict[str, Any]) -> None:
        """Follow an order of the driver."""
        ...


def introduce(node: str, prepare: Callable[[], None]) -> tuple[LineReader, int]:
    """Report this node, and run `prepare`, which imports, while a thread answers the first probe.

    Returns
    -------
    tuple
        The reader of the driver's messages, and the file descriptor for messages to the driver.
    """
    end_on_signals()
    inbox = LineReader(0)
    output = claim_output()
    send_message({"here": node}, output)
    # A daemon: otherwise a signal that ends the program meanwhile would wait for the driver's message.
    prober = threading.Thread(target=_answer_first_probe, args=(inbox, node, output), daemon=True)
    prober.start()
    gc.disable()  # imports make no garbage, but are a tenth slower under the collector
    prepare()
    prober.join()
    return inbox, output


def end_on_signals() -> None:
    """End this program in order at a signal of Slurm's, also at one that was held."""
    for signum in _END_SIGNALS:
        signal.signal(signum, _exit_once)
    if came := [*_held, *_ends]:
        _exit_once(came[0])


def hold_end_signals() -> None:
    """Hold signals back until `end_on_signals`: a directory that is made meanwhile is known to the orderly end."""
    for signum in _END_SIGNALS:
        signal.signal(signum, lambda number, _: _held.append(number))


def import_modules(modules: Iterable[str]) -> None:
    """Import modules for workers; one that is missing or broken fails in the task that imports it."""
    for module in modules:
        with contextlib.suppress(Exception):
            importlib.import_module(module)


def _answer_first_probe(inbox: LineReader, node: str, output: int) -> None:
    message = inbox.read(None)
    if message is not None:
        answer_probe(message["probe"], node, output)


def answer_probe(offer: Offer, node: str, output: int) -> None:
    """Report which of the offered addresses this node reaches."""
    addresses = [(address, port) for address, port in offer["addresses"]]
    send_message({"node": node, "reached": reach(addresses, bytes.fromhex(offer["token"]))}, output)


def watch(supervisor: Supervisor, inbox: LineReader) -> None:
    """Forward prints, reap workers and handle messages until standard input ends."""
    wakeup, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(waker)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # without a handler the wake-up is not written
    supervisor.reap()  # those that ended before the handler was set
    while not inbox.ended:
        if _ends:  # Python drops what a signal handler raises in a function called at a fork, as logging's
            sys.exit(1)
        # The pipes of 256 slots are more descriptors than select(2) takes. A message that came together with an
        # earlier one is no longer in the pipe.
        timeout = 0.0 if inbox.has_line else supervisor.timeout
        ready = wait([inbox.descriptor, wakeup, *supervisor.watched], timeout)
        supervisor.forward_prints()
        if wakeup in ready:
            os.read(wakeup, 4096)
            supervisor.reap()
        while (message := inbox.read(0)) is not None:
            supervisor.handle(message)


def _exit_once(signum: int, _frame: object = None) -> NoReturn:
    ignore_end_signals()
    _ends.append(signum)
    sys.exit(1)


def ignore_end_signals() -> None:
    """Ignore further signals, which would interrupt an orderly end: Slurm sends one more while that is made."""
    for signum in _END_SIGNALS:
        signal.signal(signum, signal.SIG_IGN)
