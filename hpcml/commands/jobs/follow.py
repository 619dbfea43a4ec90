"""``hpcml logs``, ``wait`` and ``cancel``: the output and the end of jobs."""

import argparse
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from hpcml.commands.jobs.listing import find_jobs
from hpcml.errors import CommandError, HpcmlError
from hpcml.slurm.jobs.queue import JobQueue
from hpcml.slurm.jobs.reasons import reason_in_words
from hpcml.slurm.jobs.states import FORGOTTEN, Job
from hpcml.slurm.jobs.submission import cancel_jobs

__all__ = ["cancel", "print_logs", "wait"]

TIMED_OUT = 124  # exit status of timeout(1)
LOOK_SECONDS = 0.5  # from one look at a file to the next
LONGEST_PAUSE_SECONDS = 10.0


def wait(arguments: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Wait until jobs have ended, and return the highest of their exit statuses; 124 after the timeout.

    Raises
    ------
    HpcmlError
        There is no such job, or Slurm has forgotten how one has ended.
    """
    queue = JobQueue.of(environment)
    end = time.monotonic() + arguments.timeout
    while True:
        listing, jobs = find_jobs(queue, arguments.jobs)
        if not any(job.may_run for job in jobs):
            break
        left = end - time.monotonic()
        if left <= 0:
            print(f"hpcml: not ended after {arguments.timeout:g} s: {', '.join(_labels(jobs))}", file=sys.stderr)
            return TIMED_OUT
        time.sleep(min(queue.seconds_to_next(listing), LONGEST_PAUSE_SECONDS, left))
    return _exit_status(jobs)


def _exit_status(jobs: list[Job]) -> int:
    """Print how jobs have ended, and return the highest of their exit statuses."""
    for job in jobs:
        reason = reason_in_words(job)
        print(f"hpcml: job {job.label} has ended: {job.state}" + f", {reason}" * bool(reason), file=sys.stderr)
    lost = [job.label for job in jobs if job.state == FORGOTTEN]
    if lost:
        raise HpcmlError(f"Slurm no longer knows how job {', '.join(lost)} has ended: see `hpcml logs {lost[0]}`")
    return max(job.exit_status for job in jobs)


def _labels(jobs: list[Job]) -> list[str]:
    return [f"{job.label} is {job.state}" for job in jobs if job.may_run]


def cancel(arguments: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Cancel jobs, by their labels; return the exit status.

    Raises
    ------
    HpcmlError
        Slurm has no such job, or the job is another user's; the message has Slurm's reason.
    """
    try:
        cancel_jobs(arguments.jobs, environment)
    except CommandError as error:
        lines = [line for line in error.errors.splitlines() if "error:" in line]
        reason = "; ".join(line.removeprefix("scancel: error: ") for line in lines)
        raise HpcmlError(f"{reason or error}. `hpcml jobs` lists your jobs") from error
    queue = JobQueue.of(environment)
    listing = queue.read()
    jobs = [job for label in arguments.jobs for job in listing.find(label) if job.may_run]
    queue.note([replace(job, reason="Cancelled") for job in jobs])
    print(f"hpcml: cancelled {', '.join(arguments.jobs)}", file=sys.stderr)
    return 0


def print_logs(arguments: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Print the output of a job; with ``--follow`` until the job ends. Return the exit status.

    Raises
    ------
    HpcmlError
        There is no such job, or no output of it.
    """
    queue = JobQueue.of(environment)
    _, jobs = find_jobs(queue, [arguments.job])
    if arguments.follow:
        if len(jobs) > 1:
            labels = ", ".join(job.label for job in jobs)
            raise HpcmlError(f"{arguments.job} is a job array, and one task can be followed: {labels}")
        _follow(queue, jobs[0])
        return 0
    for job in jobs:
        if len(jobs) > 1:
            print(f"==> {job.output} <==", flush=True)
        file = _open_output(job)
        if file is None:
            raise HpcmlError(
                f"job {job.label} has no output yet: {job.state}. {reason_in_words(job)}".rstrip(". ")
            )
        with file:
            _copy(file)
    return 0


def _follow(queue: JobQueue, job: Job) -> None:
    """Print the output of a job as it is written, until the job has ended."""
    file: BinaryIO | None = None
    shown = ""
    try:
        while True:
            listing = queue.read()
            job = listing.jobs.get(job.job_id, job)
            words = f"{job.state}: {reason_in_words(job)}"
            if file is None and job.may_run and words != shown:
                shown = words
                late = f": {queue.late_nodes(job)}" if job.state == "CONFIGURING" else ""
                print(f"hpcml: job {job.label} is {shown}{late}".rstrip(": "), file=sys.stderr)
            until = time.monotonic() + queue.seconds_to_next(listing)
            while time.monotonic() < until and job.may_run:
                file = file or _open_output(job)
                if file is not None:
                    _copy(file)
                time.sleep(LOOK_SECONDS)
            if not job.may_run:
                break
        file = file or _open_output(job)
        if file is not None:
            _copy(file)
        print(f"hpcml: job {job.label} has ended: {job.state} {reason_in_words(job)}".rstrip(), file=sys.stderr)
    finally:
        if file is not None:
            file.close()


def _open_output(job: Job) -> BinaryIO | None:
    path = Path(job.directory, job.output) if job.output else None
    try:
        return None if path is None else path.open("rb")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise HpcmlError(f"the output of job {job.label} cannot be read: {path}: {error.strerror}") from error


def _copy(file: BinaryIO) -> None:
    """Print the rest of a file."""
    while chunk := file.read(1 << 16):
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
