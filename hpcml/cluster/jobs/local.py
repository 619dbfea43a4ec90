"""Jobs where there is no Slurm: processes of this computer, which outlive the driver."""

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from hpcml.cluster.jobs.folder import JobFolder
from hpcml.journal.lease import DriverIdentity, is_gone, this_process
from hpcml.slurm.jobs.states import Job

__all__ = ["LocalProcesses", "PREFIX", "note_this_process"]  # noqa: RUF022  plain order

PREFIX = "local-"  # of a job's id, before the number of the process


def note_this_process(folder: JobFolder) -> str:
    """Note in a folder that this process is a job of it, and return the job's id."""
    name = f"{PREFIX}{os.getpid()}"
    folder.write(f"process-{name}", json.dumps(asdict(this_process())).encode())
    return name


class LocalProcesses:
    """The local jobs that this process has started or looks for."""

    def __init__(self) -> None:
        self._started: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, command: Sequence[str], folder: JobFolder, environment: Mapping[str, str]) -> str:
        """Start a process, whose output goes to a log in the folder, and return the job's id."""
        log = folder.path / f"local-{len(list(folder.path.glob('local-*.log')))}.log"
        with open(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb") as output:
            process = subprocess.Popen(
                command,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the driver
            )
        job = f"{PREFIX}{process.pid}"
        self._started[job] = process
        return job

    def state(self, job: str, folder: JobFolder) -> Job:
        """Return a job as Slurm would show it."""
        status = self._status(job, folder)
        state = "RUNNING" if status is None else "COMPLETED" if status == 0 else "FAILED"
        return Job(
            job_id=int(job.removeprefix(PREFIX)),
            label=job,
            state=state,
            exit_code=(max(status or 0, 0), max(-(status or 0), 0)),
            directory=str(folder.path),
            output=str(folder.log),
            name=folder.path.name,
        )

    def _status(self, job: str, folder: JobFolder) -> int | None:
        """Return the exit status of a job, negative for a signal; None while it runs, 1 where it is not known."""
        process = self._started.get(job)
        if process is not None:
            return process.poll()
        holder = self._identity(job, folder)
        gone = holder is None or is_gone(holder, this_process(), lambda _: None)
        return 1 if gone else None

    def _identity(self, job: str, folder: JobFolder) -> DriverIdentity | None:
        with contextlib.suppress(ValueError, TypeError):
            content = folder.read(f"process-{job}")
            return None if content is None else DriverIdentity(**json.loads(content))
        return None

    def cancel(self, job: str, folder: JobFolder) -> None:
        """End a job, with all processes of its group."""
        if self._status(job, folder) is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(int(job.removeprefix(PREFIX)), signal.SIGTERM)
