"""Questions and orders to Slurm about a job.

Each function runs one command, built by `hpcml.slurm.commands`, and parses its answer.
"""

import datetime
from collections.abc import Mapping

from hpcml.errors import CommandError
from hpcml.slurm.commands import (
    configuration_query,
    end_time_query,
    job_state_query,
    requeue,
    step_environment,
    submission_environment,
    time_left_query,
)
from hpcml.slurm.configuration import configured
from hpcml.slurm.gpus import JobGpus, parse_job_gpus
from hpcml.slurm.job_ids import record_of_job, value_of_job
from hpcml.slurm.process import run
from hpcml.slurm.record_commands import job_details

__all__ = [
    "array_size",
    "end_time",
    "is_job_over",
    "job_gpus",
    "parse_array_size",
    "parse_end_time",
    "parse_time_left",
    "requeue_job",
    "time_left",
]

ARRAY_SIZE = 1001  # Slurm's own default of MaxArraySize, see slurm.conf(5)

QUERY_TIMEOUT_SECONDS = 10.0
REQUEUE_TIMEOUT_SECONDS = 20.0

# squeue shows only jobs that have not ended. A job that waits was put back into the queue: its last start is over.
_WAITING = ("PENDING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT")


def is_job_over(job: str, environment: Mapping[str, str]) -> bool | None:
    """Return whether a job has ended, or its last start has; None when Slurm does not answer."""
    try:
        state = value_of_job(run(job_state_query(job), step_environment(environment), QUERY_TIMEOUT_SECONDS), job)
    except CommandError as error:
        return True if "Invalid job id" in str(error) else None
    return not state or state in _WAITING


def job_gpus(job: str, environment: Mapping[str, str]) -> JobGpus:
    """Return the GPUs that a job holds on each node.

    Raises
    ------
    CommandError
        Slurm does not answer.
    """
    text = run(job_details(job), step_environment(environment), QUERY_TIMEOUT_SECONDS)
    return parse_job_gpus(record_of_job(text, job))


def time_left(job: str, environment: Mapping[str, str]) -> float | None:
    """Return the seconds until the time limit ends a job; None for a job without a limit.

    Raises
    ------
    CommandError
        Slurm does not answer.
    ValueError
        The answer is no time: the job has ended, or has not begun.
    """
    text = run(time_left_query(job), step_environment(environment), QUERY_TIMEOUT_SECONDS)
    return parse_time_left(value_of_job(text, job))


def parse_time_left(text: str) -> float | None:
    """Return the seconds that squeue printed as ``[days-][hours:]minutes:seconds``; None: no limit.

    Raises
    ------
    ValueError
        The text is no time: the job has ended, or has not begun.

    Examples
    --------
    >>> from hpcml.slurm.queries import parse_time_left
    >>> parse_time_left("1-02:03:04"), parse_time_left("59:30"), parse_time_left("UNLIMITED")
    (93784.0, 3570.0, None)
    """
    word = text.strip()
    if word == "UNLIMITED":
        return None
    days, _, clock = word.rpartition("-")
    hours, minutes, seconds = ["0", "0", *clock.split(":")][-3:]
    return float(((int(days or 0) * 24 + int(hours)) * 60 + int(minutes)) * 60 + int(seconds))


def end_time(job: str) -> float | None:
    """Return when a job will end, in seconds since the epoch; None when Slurm does not answer, or plans no end."""
    try:
        return parse_end_time(value_of_job(run(end_time_query(job), timeout=QUERY_TIMEOUT_SECONDS), job))
    except CommandError:
        return None


def parse_end_time(text: str) -> float | None:
    """Return the seconds since the epoch of a time that squeue printed, None for "N/A".

    Examples
    --------
    >>> from hpcml.slurm.queries import parse_end_time
    >>> parse_end_time("N/A") is None
    True
    """
    words = text.split()
    try:
        return datetime.datetime.fromisoformat(words[0]).timestamp() if words else None
    except ValueError:
        return None


def requeue_job(job: str, environment: Mapping[str, str]) -> None:
    """Put a batch job back into the queue, unless it is there. Slurm may end this process before that returns.

    The job has to be named by its `hpcml.slurm.job_ids.exact_job_id`.

    Raises
    ------
    CommandError
        Slurm refuses, or does not answer.
    """
    try:
        run(requeue(job), step_environment(environment), REQUEUE_TIMEOUT_SECONDS)
    except CommandError as error:
        if "Job is pending execution" not in str(error):
            raise


def array_size(environment: Mapping[str, str]) -> int:
    """Return the most elements of one job array; Slurm's default where Slurm does not answer."""
    try:
        return parse_array_size(run(configuration_query(), submission_environment(environment)))
    except CommandError:
        return ARRAY_SIZE


def parse_array_size(text: str) -> int:
    """Return the most elements of a job array, from the output of `configuration_query`.

    The largest index is one less than MaxArraySize, and the first one is 0 (slurm.conf(5)).

    Examples
    --------
    >>> from hpcml.slurm.queries import parse_array_size
    >>> parse_array_size("MaxArraySize            = 101\\nMaxBatchRequeue         = 5\\n")
    101
    """
    size = configured(text, "MaxArraySize")
    return int(size) if size.isdecimal() else ARRAY_SIZE
