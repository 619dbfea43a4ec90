"""Processes that are stopped (SIGSTOP, a debugger): they are alive, and run nothing."""

import contextlib
import os
import signal
import time
from collections.abc import Iterable

from hpcml.engines.descendants import process_state

__all__ = ["Continued", "StoppedWorkers"]

LOOK_SECONDS = 1.0
STOPPED_SECONDS = 8.0
CONTINUED_LOOKS = 3


class StoppedWorkers:
    """Looks at the states of processes, now and then.

    ``timeout`` are the seconds from one look to the next.
    """

    timeout = LOOK_SECONDS

    def __init__(self) -> None:
        self._looks: dict[int, int] = {}  # at each process, in which it was stopped
        self._looked = time.monotonic()

    def find(self, processes: Iterable[int]) -> list[int]:
        """Return those of `processes` that are stopped for too long.

        Looks are counted, not seconds: a job that Slurm suspends looks at nothing meanwhile.
        """
        now = time.monotonic()
        if now < self._looked + LOOK_SECONDS:
            return []
        self._looked = now
        stopped = [process for process in processes if process_state(process) == "T"]
        self._looks = {process: self._looks.get(process, 0) + 1 for process in stopped}
        return [process for process, looks in self._looks.items() if looks > STOPPED_SECONDS / LOOK_SECONDS]


class Continued:
    """Continues a program of this node that something has stopped: its own work is short, and others wait for it.

    A job that Slurm suspends looks at nothing meanwhile.
    """

    def __init__(self, process: int) -> None:
        self._process = process
        self._looks = 0
        self._looked = time.monotonic()

    def look(self) -> bool:
        """Look at the process, once a second at most; return whether it was stopped for too long, and runs on."""
        now = time.monotonic()
        if now < self._looked + LOOK_SECONDS:
            return False
        self._looked = now
        self._looks = self._looks + 1 if process_state(self._process) == "T" else 0
        if self._looks < CONTINUED_LOOKS:
            return False
        self._looks = 0
        with contextlib.suppress(OSError):
            os.kill(self._process, signal.SIGCONT)
        return True
