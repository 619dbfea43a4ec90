"""Ids of jobs: the one that Slurm's commands take for exactly one job, and that job's part of their answers.

One element of a job array has the array's own id as its job id. Given this id, ``scontrol requeue`` puts all
elements back into the queue, those that have ended included, and ``scontrol show job`` and ``squeue`` print all of
them. ``scancel`` takes the id in that of a step, as in 7.0, for the one job's (measured with 22.05 and 24.11).
"""

import re
from collections.abc import Mapping

__all__ = ["exact_job_id", "own_job", "record_of_job", "value_of_job"]

_RECORD = re.compile(r"JobId=(\d+)(?: ArrayJobId=(\d+) ArrayTaskId=(\S+))?(?: HetJobId=(\d+))?")


def exact_job_id(job: str, array: str, task: str) -> str:
    """Return the id by which Slurm's commands know exactly this job.

    A job that was submitted from inside an array inherits the ids of the array and of the task. Its own id is
    another than that of the array.

    Examples
    --------
    >>> from hpcml.slurm.job_ids import exact_job_id
    >>> exact_job_id("7", "7", "1"), exact_job_id("8", "7", "0"), exact_job_id("9", "", "")
    ('7_1', '8', '9')
    """
    return f"{array}_{task}" if job and job == array and task.isdecimal() else job


def own_job(environment: Mapping[str, str]) -> str:
    """Return the `exact_job_id` of the job that these variables describe; "" outside of a job.

    Examples
    --------
    >>> from hpcml.slurm.job_ids import own_job
    >>> own_job({"SLURM_JOB_ID": "7", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "1"})
    '7_1'
    """
    names = ("SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID")
    return exact_job_id(*(environment.get(name, "") for name in names))


def record_of_job(text: str, job: str) -> str:
    """Return the lines of ``scontrol --oneliner show job`` about one job, with all components of that job.

    Examples
    --------
    >>> from hpcml.slurm.job_ids import record_of_job
    >>> record_of_job("JobId=7 JobState=RUNNING\\nJobId=8 JobState=CONFIGURING\\n", "7")
    'JobId=7 JobState=RUNNING'
    """
    lines = [(match, line) for line in text.splitlines() if (match := _RECORD.match(line))]
    own = [match for match, _ in lines if job in (match[1], f"{match[2]}_{match[3]}")]
    leaders = {match[4] for match in own} - {None}
    return "\n".join(line for match, line in lines if match in own or match[4] in leaders)


def value_of_job(text: str, job: str) -> str:
    """Return the value of one job in what ``squeue --format=%i|%A|…`` prints; "" where the job is not there.

    Examples
    --------
    >>> from hpcml.slurm.job_ids import value_of_job
    >>> value_of_job("7_1|7|RUNNING\\n7_0|8|PENDING\\n", "7")
    'RUNNING'
    """
    rows = (line.split("|", 2) for line in text.splitlines() if line.count("|") >= 2)
    return next((value.strip() for shown, own, value in rows if job in (shown.strip(), own.strip())), "")
