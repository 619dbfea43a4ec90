"""Runs of a job: found by the job's number, and how many of their tasks are done."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from hpcml.commands.report.command import find_run, read_run
from hpcml.errors import HpcmlError
from hpcml.slurm.jobs.queue import JobQueue
from hpcml.slurm.jobs.states import Job

__all__ = ["TaskCount", "count_tasks", "named_run", "run_of_label", "runs_of"]

JOB = re.compile(r"[0-9]+(_[0-9]+)?")  # a number, or that of an array and of a task
SEARCHED = 20  # of the last runs of a directory, for those that another job has begun
LARGEST_NBYTES = 256 << 20  # of a journal whose tasks are counted for a listing


@dataclass(frozen=True)
class TaskCount:
    """Number of tasks that are done or failed, and of those that are expected; 0 where that is not known."""

    done: int
    failed: int
    expected: int

    def __str__(self) -> str:
        of_all = f" of {self.expected:,}" if self.expected >= self.done > 0 else ""
        failed = f", {self.failed:,} failed" if self.failed else ""
        return f"{self.done:,}{of_all}{failed}"


def runs_of(job: Job) -> Iterator[Path]:
    """Yield the directories of a job's runs, the latest first: those it has begun, else those it has resumed."""
    journals = []
    for journal in Path(job.directory, ".hpcml").glob("*/journal"):
        try:
            journals.append((journal.stat().st_mtime, journal.parent))
        except OSError:  # the run has ended meanwhile, without a task
            continue
    runs = [run for _, run in sorted(journals, reverse=True)]
    begun = [run for run in runs if run.name.split("-")[2:3] == [job.label]]
    yield from begun or (run for run in runs[:SEARCHED] if _has_session_of(run, job))


def _has_session_of(run: Path, job: Job) -> bool:
    try:
        return any(session.job == str(job.job_id) for session in read_run(run).sessions)
    except (HpcmlError, OSError):
        return False


def count_tasks(job: Job) -> TaskCount | None:
    """Return the number of tasks of a job's latest run; None where there is no run, or no journal to read."""
    try:
        run = next(runs_of(job), None)
        if run is None or os.path.getsize(run / "journal") > LARGEST_NBYTES:
            return None
        report = read_run(run)
    except (HpcmlError, OSError):
        return None
    return TaskCount(report.done, report.failed, report.expected)


def named_run(name: str | None, environment: Mapping[str, str], latest: bool = False) -> Path:
    """Return the run with this directory or of the job with this number; without a name the last run here.

    Parameters
    ----------
    latest
        Several scripts may have runs here: the run that was written to last is meant.

    Raises
    ------
    HpcmlError
        There is no such run, or several scripts have runs here.
    """
    if name is None:
        return find_run(Path(".hpcml"), latest)
    run = Path(name)
    return run_of_label(name, environment) if JOB.fullmatch(name) and not run.exists() else run


def run_of_label(label: str, environment: Mapping[str, str]) -> Path:
    """Return the latest run of a job, which is looked for in this directory and in the job's own.

    Raises
    ------
    HpcmlError
        No run of the job is found.
    """
    here = Job(int(label.split("_", maxsplit=1)[0]), label, "", directory=os.getcwd())
    run = next(runs_of(here), None)
    if run is not None:
        return run
    for job in JobQueue.of(environment).read().find(label):
        for found in runs_of(job):
            return found
    raise HpcmlError(f"no run of job {label} is found in {os.getcwd()}/.hpcml: name the run's directory")
