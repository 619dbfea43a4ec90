"""Schedulers of jobs: Slurm, or where there is none, this computer. They alone read the environment."""

import contextlib
import logging
import os
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Protocol

from hpcml.cluster.jobs.folder import JobFolder
from hpcml.cluster.jobs.local import PREFIX, LocalProcesses
from hpcml.cluster.jobs.requests import Request
from hpcml.cluster.opening import usable_cpus
from hpcml.errors import CommandError, SubmissionError
from hpcml.interpreter import interpreter_options, worker_options
from hpcml.slurm.commands import submission_environment
from hpcml.slurm.jobs.options import SbatchOption, parse_help
from hpcml.slurm.jobs.queue import JobQueue, Listing
from hpcml.slurm.jobs.states import Job, expand_output
from hpcml.slurm.jobs.submission import cancel_jobs, submit_job
from hpcml.slurm.process import run
from hpcml.slurm.queries import array_size

__all__ = ["LocalScheduler", "Scheduler", "SlurmScheduler", "current_scheduler", "scheduler_of", "withdraw"]

log = logging.getLogger("hpcml")

PROGRAM = "hpcml.cluster.jobs.program"
LOOK_SECONDS = 0.5  # from one look at local processes to the next
UNCONFIGURED = "Could not establish a configuration source"  # said by an sbatch that belongs to no cluster


class Scheduler(Protocol):
    """System that starts jobs and knows their states."""

    environment: Mapping[str, str]

    @property
    def known_options(self) -> Mapping[str, SbatchOption] | None:
        """Options of a request, None where any is taken."""

    @property
    def most_elements(self) -> int:
        """The most elements that an array may have."""

    def submit(self, request: Request, folder: JobFolder, elements: str = "", count: int = 1) -> list[str]:
        """Submit a job of a folder, or an array of `count` elements; return the ids. Raises SubmissionError."""

    def watch(self, job: str, folder: JobFolder) -> None:
        """Have `read` show a job, whose folder is known."""

    def read(self) -> Listing:
        """Return the jobs; the question to Slurm behind it is made once a minute."""

    def seconds_to_next(self, listing: Listing) -> float:
        """Return how long `read` returns the same listing."""

    def cancel(self, jobs: list[str]) -> None:
        """Cancel jobs, also those that run. Raises CommandError."""


class SlurmScheduler:
    """Slurm; see `Scheduler`."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment
        self._queue = JobQueue.of(environment)

    @property
    def known_options(self) -> Mapping[str, SbatchOption] | None:
        """See `Scheduler`. Raises SubmissionError where Slurm cannot be used."""
        return _sbatch_options(self.environment.get("PATH", ""))

    @property
    def most_elements(self) -> int:
        """See `Scheduler`."""
        return _most_elements(self.environment.get("SLURM_CONF", ""))

    def submit(self, request: Request, folder: JobFolder, elements: str = "", count: int = 1) -> list[str]:
        """See `Scheduler`."""
        directory = Path(request.options.get("chdir") or os.getcwd()).absolute()
        log, array = ("%A_%a", {"array": elements}) if elements else ("%j", {})
        output = f"{str(folder.path).replace('%', '%%')}/{log}.log"
        request = replace(request, options={"output": output, **request.options, **array})
        number = submit_job(request.script(_command(folder)), self.environment, directory)
        folder.note_id(str(number), count)
        name = request.options.get("job-name") or ""
        job = Job(number, str(number), "PENDING", directory=str(directory), name=name)
        job = replace(job, output=str(directory / expand_output(request.options["output"] or "", job)))
        if not Path(job.output).is_relative_to(folder.path):
            folder.write("output", os.fsencode(job.output))
        self._queue.note([job])
        return [str(number)]

    def watch(self, job: str, folder: JobFolder) -> None:
        """See `Scheduler`; Slurm knows its jobs."""

    def read(self) -> Listing:
        """See `Scheduler`."""
        return self._queue.read()

    def seconds_to_next(self, listing: Listing) -> float:
        """See `Scheduler`."""
        return self._queue.seconds_to_next(listing)

    def cancel(self, jobs: list[str]) -> None:
        """See `Scheduler`."""
        cancel_jobs(jobs, self.environment)


class LocalScheduler:
    """This computer: each job is a process, and an array has as many as there are CPUs; see `Scheduler`."""

    known_options = None

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment
        self._processes = LocalProcesses()
        self._folders: dict[str, JobFolder] = {}

    @property
    def most_elements(self) -> int:
        """See `Scheduler`."""
        return usable_cpus()

    def submit(self, request: Request, folder: JobFolder, elements: str = "", count: int = 1) -> list[str]:
        """See `Scheduler`."""
        _, _, parallel = elements.partition("%")
        command, environment = _command(folder), submission_environment(self.environment)
        most = min(count, int(parallel or count))
        jobs = [self._processes.start(command, folder, environment) for _ in range(most)]
        for job in jobs:
            folder.note_id(job)
            self.watch(job, folder)
        return jobs

    def watch(self, job: str, folder: JobFolder) -> None:
        """See `Scheduler`."""
        self._folders[job] = folder

    def read(self) -> Listing:
        """See `Scheduler`."""
        found = [self._processes.state(job, folder) for job, folder in self._folders.items()]
        return Listing({job.job_id: job for job in found}, time.time())

    def seconds_to_next(self, listing: Listing) -> float:
        """See `Scheduler`."""
        return LOOK_SECONDS

    def cancel(self, jobs: list[str]) -> None:
        """See `Scheduler`."""
        for job in jobs:
            self._processes.cancel(job, self._folders[job])


def withdraw(folder: JobFolder, scheduler: Scheduler) -> None:
    """Cancel the jobs of a folder whose submission has not ended, and remove the folder."""
    jobs = list(folder.ids)
    if jobs:
        with contextlib.suppress(CommandError):
            scheduler.cancel(jobs)
    folder.remove()


def _command(folder: JobFolder) -> list[str]:
    """Return the command of a job, with the options of this Python that results depend on."""
    options = worker_options(interpreter_options(sys.orig_argv))
    return [sys.executable, *options, "-u", "-m", PROGRAM, str(folder.path)]


@cache
def _sbatch_options(path: str) -> Mapping[str, SbatchOption] | None:
    """Return the options of the sbatch on a PATH; None where it belongs to no cluster."""
    try:
        return parse_help(run(["sbatch", "--help"], submission_environment(os.environ)))
    except CommandError as error:
        if UNCONFIGURED in error.errors:
            log.warning("sbatch is installed, but knows no cluster: jobs run on this computer")
            return None
        raise SubmissionError(
            f"sbatch is there, but cannot be used, so no job can be submitted from this computer: {error}"
        ) from error


@cache
def _most_elements(configuration: str) -> int:
    return array_size(os.environ)


@cache
def _local_scheduler() -> LocalScheduler:
    return LocalScheduler(os.environ)


def current_scheduler() -> Scheduler:
    """Return Slurm where sbatch is found and knows a cluster, else this computer.

    Raises
    ------
    SubmissionError
        sbatch knows a cluster, and cannot be used: a login node must not run what its nodes should.
    """
    path = os.environ.get("PATH")
    if shutil.which("sbatch", path=path) is None or _sbatch_options(path or "") is None:
        return _local_scheduler()
    return SlurmScheduler(os.environ)


def scheduler_of(job: str) -> Scheduler:
    """Return the scheduler that has given a job its id."""
    return _local_scheduler() if job.startswith(PREFIX) else SlurmScheduler(os.environ)
