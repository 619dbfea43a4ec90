"""End of the job: when it is, and the signals that announce it.

::

    signal handler ── one byte ──> pipe ──> deadline thread ──> Session: no task starts, the journal is flushed
    squeue ── time left ───────────────────> deadline thread ──> `Deadline.left`, asked by the dispatcher

A handler only writes to the pipe: it may interrupt anything, also another handler. Time left is counted on the
monotonic clock from what Slurm says is left, so that no two clocks need to agree.
"""

import contextlib
import logging
import os
import select
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

__all__ = ["Deadline"]

log = logging.getLogger("hpcml")

SIGNALS = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM, signal.SIGHUP)
"""Signals of Slurm before the end (``--signal``), at the end, and when an allocation is revoked. SIGINT stays
Python's KeyboardInterrupt: the journal is whole at every moment, and whoever types Ctrl-C wants the prompt."""

MARGIN_SECONDS = 5.0  # seconds that are kept for the flush, the end of the workers and the requeue
MIN_PAUSE_SECONDS = 60.0  # seconds between two questions: slurmctld has others to serve


class Deadline:
    """Time that the job has left, and its signals.

    Parameters
    ----------
    ask
        Asks Slurm for the seconds left; returns None for no limit, and raises OSError when it does not answer.
        It is asked again when half of the time is over, for a limit can be changed.
    seconds
        What is left as far as the environment tells; None: it does not.
    told
        Called in the deadline thread with a signal's number.
    """

    def __init__(
        self, ask: Callable[[], float | None] | None, seconds: float | None, told: Callable[[int], None]
    ) -> None:
        self._ask = ask
        self._told = told
        self._process = os.getpid()
        self._end = None if seconds is None else time.monotonic() + seconds
        self._reader, self._writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._closed = False
        self._replaced: list[int] = []
        if threading.current_thread() is threading.main_thread():
            self._replaced = [number for number in SIGNALS if signal.getsignal(number) == signal.SIG_DFL]
            for number in self._replaced:
                signal.signal(number, self._handle)
        self._thread = threading.Thread(target=self._watch, name="hpcml-deadline", daemon=True)
        self._thread.start()

    def left(self) -> float | None:
        """Return the seconds that there are for tasks; None when no end is known."""
        return None if self._end is None else self._end - MARGIN_SECONDS - time.monotonic()

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self._closed or os.getpid() != self._process:  # a forked child has its own life, and its own end
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        with contextlib.suppress(OSError):  # full: enough signals are noted
            os.write(self._writer, bytes([number]))

    def _watch(self) -> None:
        pause = 0.0 if self._ask is not None else None
        while not self._closed:
            if select.select([self._reader], [], [], pause)[0]:
                for number in dict.fromkeys(os.read(self._reader, 4096)):
                    if number:
                        log.debug("signal %s", signal.Signals(number).name)
                        self._told(number)
            else:
                self._ask_slurm()
                left = self.left()
                pause = None if left is None else max(left / 2, MIN_PAUSE_SECONDS)

    def _ask_slurm(self) -> None:
        assert self._ask is not None
        try:
            seconds = self._ask()
        except Exception as error:
            log.debug("Slurm does not tell what time is left: %s", error)
        else:
            self._end = None if seconds is None else time.monotonic() + seconds

    def close(self) -> None:
        """Hear no more signals; from here on they do what they did before."""
        if self._closed:
            return
        self._closed = True
        if threading.current_thread() is threading.main_thread():
            for number in self._replaced:
                if signal.getsignal(number) == self._handle:
                    signal.signal(number, signal.SIG_DFL)
        os.write(self._writer, b"\0")
        if threading.current_thread() is not self._thread:
            self._thread.join(1)  # it may be waiting for Slurm, and need not be waited for
        if not self._thread.is_alive():
            os.close(self._reader)
            os.close(self._writer)
