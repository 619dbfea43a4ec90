"""Sign of life of this process for the jobs of its fleet: the program `heartbeat`, and its file."""

import contextlib
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from hpcml.cluster.fleet import heartbeat
from hpcml.journal.private_files import write_new
from hpcml.slurm.commands import submission_environment
from hpcml.slurm.process import Inbox, Program

__all__ = ["Lifeline"]

log = logging.getLogger("hpcml")


class Lifeline:
    """The heartbeat of a fleet, from its first job to the end of its last.

    Parameters
    ----------
    directory
        Directory of the file, on a file system that all nodes share.
    seconds
        From one sign of life to the next.
    inbox
        Queue for the news that the program has ended.
    """

    def __init__(self, directory: Path, seconds: float, environment: Mapping[str, str], inbox: Inbox) -> None:
        self.path = directory / "heartbeat"
        self._log = directory / "heartbeat.log"
        words = (heartbeat.__file__, str(self.path), f"{seconds:g}", str(os.getpid()))
        self._command = (sys.executable, "-I", "-S", *words)
        self._environment = submission_environment(environment)
        self._inbox = inbox
        self._jobs: tuple[str, ...] = ()
        self._start()

    def _start(self) -> None:
        if not self.path.exists():
            write_new(self.path, b"0\n")  # a job that finds none ends at once
        self._program = Program("heartbeat", self._command, self._environment, self._inbox, self._log)

    def set_jobs(self, jobs: Sequence[str]) -> None:
        """Have these jobs cancelled when this process is gone."""
        self._jobs = tuple(jobs)
        self._program.send({"jobs": self._jobs})

    def restart(self, program: Program | None) -> None:
        """Start another heartbeat in place of the program that has ended, where that was the heartbeat."""
        if program is self._program:
            log.warning("the heartbeat of this Cluster ended with status %s: starting another", program.status)
            self._start()
            self.set_jobs(self._jobs)

    def close(self) -> None:
        """End the heartbeat: jobs that are still there end by themselves."""
        self._program.stop()
        for path in (self.path, self._log):
            with contextlib.suppress(OSError):
                path.unlink()
