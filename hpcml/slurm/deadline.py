"""End of the job: the time that is left, and the signals that announce the end.

::

    signal handler ── one byte ──> pipe ──> deadline thread ──> Session: no task starts, the journal is flushed
    squeue ── time left ───────────────────> deadline thread ──> `Deadline.left`, called by the dispatcher

A handler only writes to the pipe, for it may interrupt anything, also another handler. The time that Slurm reports
as left is counted down on the monotonic clock, so that the clocks of two computers need not agree.
"""

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from types import FrameType

__all__ = ["Deadline"]

log = logging.getLogger("hpcml")

SIGNALS = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM, signal.SIGHUP)
"""Signals of Slurm before the end (``--signal``), at the end, and when an allocation is revoked.

SIGINT stays Python's KeyboardInterrupt: the journal is whole at every moment, and a user who types Ctrl-C wants
the prompt."""

MARGIN_SECONDS = 5.0  # that are kept for the flush, the end of the workers and the requeue
MIN_PAUSE_SECONDS = 60.0  # between two questions, for all users share one slurmctld
MAX_PAUSE_SECONDS = 86_400.0  # poll(2) waits for 24 days at most
JOIN_TIMEOUT_SECONDS = 1.0


class Deadline:
    """Time that the job has left, and its signals.

    Parameters
    ----------
    query
        Asks Slurm for the seconds left; returns None for no limit, and raises an error without an answer. It is
        called again when half of the time has passed, for the limit of a job can be changed.
    seconds
        Seconds left by the environment; None where no variable holds the end.
    on_signal
        Called in the deadline thread with the number of a signal.
    """

    def __init__(
        self,
        query: Callable[[], float | None] | None,
        seconds: float | None,
        on_signal: Callable[[int], None],
    ) -> None:
        self._query = query
        self._on_signal = on_signal
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
        """Return the seconds left for tasks; None for a job without a known end."""
        return None if self._end is None else self._end - MARGIN_SECONDS - time.monotonic()

    def _handle(self, number: int, _: FrameType | None) -> None:
        # A forked child has inherited this handler, but is ended by the signal as ever.
        if self._closed or os.getpid() != self._process:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        # A pipe that is full holds enough signals.
        with contextlib.suppress(OSError):
            os.write(self._writer, bytes([number]))

    def _watch(self) -> None:
        pause = 0.0 if self._query is not None else None
        while not self._closed:
            # select(2) takes no descriptor above 1,023, and a script may have that many files open.
            if wait([self._reader], pause):
                for number in dict.fromkeys(os.read(self._reader, 4096)):
                    if number:
                        log.debug("signal %s", signal.Signals(number).name)
                        self._on_signal(number)
            else:
                self._update_end()
                left = self.left()
                pause = None if left is None else min(max(left / 2, MIN_PAUSE_SECONDS), MAX_PAUSE_SECONDS)

    def _update_end(self) -> None:
        assert self._query is not None
        try:
            seconds = self._query()
        except Exception as error:
            log.debug("Slurm does not say how much time is left: %s", error)
        else:
            self._end = None if seconds is None else time.monotonic() + seconds

    def close(self) -> None:
        """Restore the signals' former handlers, and end the thread."""
        if self._closed:
            return
        self._closed = True
        if threading.current_thread() is threading.main_thread():
            for number in self._replaced:
                if signal.getsignal(number) == self._handle:
                    signal.signal(number, signal.SIG_DFL)
        os.write(self._writer, b"\0")
        if threading.current_thread() is not self._thread:
            self._thread.join(JOIN_TIMEOUT_SECONDS)  # it may be waiting for Slurm's answer
        if not self._thread.is_alive():
            os.close(self._reader)
            os.close(self._writer)
