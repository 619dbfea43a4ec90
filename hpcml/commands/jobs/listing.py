"""``hpcml jobs``: this user's jobs, why they wait, and how far they are."""

import argparse
import dataclasses
import json
import re
import sys
import time
from collections.abc import Mapping, Sequence

from hpcml.commands.jobs.runs import count_tasks
from hpcml.errors import HpcmlError
from hpcml.slurm.jobs.queue import JobQueue, Listing
from hpcml.slurm.jobs.reasons import reason_in_words
from hpcml.slurm.jobs.states import Job

__all__ = ["find_jobs", "print_jobs"]

FRESH_SECONDS = 1.0  # age of an answer that is not asked for again, for a job that it lacks
SHOWN_SECONDS = 86_400.0  # after its end, that a job is listed


def print_jobs(arguments: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Print the jobs that are named, or all that have not ended or ended within a day; return the exit status."""
    queue = JobQueue.of(environment)
    listing, jobs = find_jobs(queue, arguments.jobs)
    jobs = jobs if arguments.jobs else _recent(listing)
    if arguments.json:
        print(json.dumps([_plain_data(job) for job in jobs], indent=1))
        return 0
    if listing.problem:
        print(f"hpcml: Slurm did not answer: {listing.problem.splitlines()[0]}", file=sys.stderr)
    if not jobs:
        print("no jobs: `hpcml submit script.py` submits one")
        return 0
    from tabulate import tabulate

    headers = ["job", "name", "state", "nodes", "time left", "tasks done", ""]
    print(tabulate([_row(job) for job in jobs], headers, tablefmt="plain", disable_numparse=True))
    age = time.time() - listing.asked
    if age >= 2:
        print(f"(as Slurm had them {age:.0f} s ago)")
    return 0


def find_jobs(queue: JobQueue, labels: Sequence[str]) -> tuple[Listing, list[Job]]:
    """Return the listing, and its jobs with these labels; a job array stands for its tasks.

    A job that the listing lacks may be newer: Slurm is asked as soon as that is due.

    Raises
    ------
    HpcmlError
        This user has no such job; the message names the jobs that there are.
    """
    listing = queue.read()
    unknown = [label for label in labels if not listing.find(label)]
    pause = queue.seconds_to_next(listing)
    if unknown and time.time() - listing.asked > FRESH_SECONDS:
        print(f"hpcml: job {unknown[0]} is not known yet; Slurm is asked in {pause:.0f} s", file=sys.stderr)
        time.sleep(pause)
        listing = queue.read()
        unknown = [label for label in labels if not listing.find(label)]
    if unknown:
        known = ", ".join(job.label for job in _recent(listing)) or "none"
        problem = f" ({listing.problem.splitlines()[0]})" if listing.problem else ""
        raise HpcmlError(f"Slurm knows no job {unknown[0]} of yours{problem}; your jobs are: {known}")
    found = {job.job_id: job for label in labels for job in listing.find(label)}
    return listing, sorted(found.values(), key=_order)


def _order(job: Job) -> list[int]:
    """Return the key that sorts jobs by number, and the tasks of an array by theirs."""
    return [int(number) for number in re.findall("[0-9]+", job.label)]


def _recent(listing: Listing) -> list[Job]:
    now = time.time()
    recent = [
        job
        for number, job in listing.jobs.items()
        if job.may_run or now - listing.seen.get(number, 0) < SHOWN_SECONDS
    ]
    return sorted(recent, key=_order)


def _row(job: Job) -> list[str]:
    left = job.time_left if job.state == "RUNNING" else ""
    tasks = count_tasks(job) if job.state != "PENDING" else None
    reason = reason_in_words(job)
    if job.state == "PENDING" and job.start_time[:1].isdigit():
        reason += f"; expected to start at {job.start_time.replace('T', ' ')}"
    return [job.label, job.name[:30], job.state, str(job.nodes or ""), left, str(tasks or ""), reason]


def _plain_data(job: Job) -> dict[str, object]:
    tasks = count_tasks(job)
    return {
        **dataclasses.asdict(job),
        "exit_status": None if job.may_run else job.exit_status,
        "why": reason_in_words(job),
        "tasks": None if tasks is None else dataclasses.asdict(tasks),
    }
