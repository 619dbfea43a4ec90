"""States of jobs in Slurm's queue, read from the output of squeue and of sacct."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

__all__ = [
    "FINAL_STATES",
    "FORGOTTEN",
    "Job",
    "expand_output",
    "job_fields",
    "parse_accounting",
    "parse_exit_code",
    "parse_jobs",
]

FINAL_STATES = frozenset(
    (
        *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED"),
        *("REVOKED", "TIMEOUT"),
    )
)
"""States in which a job stays (job_state_codes in Slurm's documentation). A preempted job that Slurm requeues is
PENDING."""

FORGOTTEN = "FORGOTTEN"
"""State of a job that has ended, and whose end Slurm no longer knows: MinJobAge has passed, see slurm.conf(5)."""

_SEPARATOR = "\x1f"  # which no field of a job holds
_FIELDS = (
    *("JobID", "JobArrayID", "State", "Reason", "TimeLeft", "exit_code", "StartTime"),
    *("NumNodes", "NodeList", "Partition", "WorkDir", "STDOUT", "Name"),
)


@dataclass(frozen=True)
class Job:
    """A job as Slurm has it.

    Parameters
    ----------
    job_id
        Its number, of which each task of an array has its own.
    label
        Its name in Slurm's commands: ``7``, ``5_2`` for a task of an array, ``5_[3-9]`` for tasks that wait.
    state
        Slurm's state, such as ``PENDING``; see `FINAL_STATES`.
    reason
        Slurm's reason for that state, or "".
    time_left
        Slurm's text, such as ``1:00:00``.
    exit_code
        Exit status and signal of the job's script, 0 before its end.
    start_time
        Slurm's text: when it has started, or is expected to; ``N/A`` where Slurm does not know.
    nodes
        Number of nodes.
    nodelist
        Hostlist of its nodes; "" before it starts.
    directory, output
        Working directory, and file of its output.
    """

    job_id: int
    label: str
    state: str
    reason: str = ""
    time_left: str = ""
    exit_code: tuple[int, int] = (0, 0)
    start_time: str = ""
    nodes: int = 0
    nodelist: str = ""
    partition: str = ""
    directory: str = ""
    output: str = ""
    name: str = ""

    @property
    def is_over(self) -> bool:
        """Return whether the job has ended for good."""
        return self.state in FINAL_STATES

    @property
    def may_run(self) -> bool:
        """Return whether the job may still run: Slurm knows it, and it has not ended."""
        return not self.is_over and self.state != FORGOTTEN

    @property
    def exit_status(self) -> int:
        """Exit status of the job as a shell has it: its script's, 128 and the signal, or 1 for another end."""
        status, number = self.exit_code
        if self.state == "COMPLETED":
            return 0
        return 128 + number if number else status or 1


def job_fields() -> str:
    """Return the fields that `parse_jobs` reads, as squeue's ``--Format`` has them."""
    return ",".join(f"{name}:{_SEPARATOR}" for name in _FIELDS)


def parse_jobs(text: str) -> list[Job]:
    """Return the jobs in the output of squeue with `job_fields`.

    Examples
    --------
    >>> from hpcml.slurm.jobs.states import parse_jobs
    >>> values = ["7", "7", "TIMEOUT", "TimeLimit", "0:00", "0:15", "N/A", "2", "n[1-2]", "main", "/d", "o", "a b"]
    >>> [(job.label, job.state, job.exit_status) for job in parse_jobs(chr(31).join(values) + chr(31))]
    [('7', 'TIMEOUT', 143)]
    """
    values = text.split(_SEPARATOR)
    rows = [values[start : start + len(_FIELDS)] for start in range(0, len(values) - 1, len(_FIELDS))]
    return [_job(dict(zip(_FIELDS, row, strict=True))) for row in rows if len(row) == len(_FIELDS)]


def _job(row: Mapping[str, str]) -> Job:
    job = Job(
        job_id=int(row["JobID"].strip()),
        label=row["JobArrayID"],
        state=row["State"],
        reason="" if row["Reason"] == "None" and row["State"] != "PENDING" else row["Reason"],
        time_left=row["TimeLeft"],
        exit_code=parse_exit_code(row["exit_code"]),
        start_time=row["StartTime"],
        nodes=int(row["NumNodes"]) if row["NumNodes"].isdecimal() else 0,
        nodelist=row["NodeList"],
        partition=row["Partition"],
        directory=row["WorkDir"],
        name=row["Name"],
    )
    return replace(job, output=expand_output(row["STDOUT"], job))


def parse_exit_code(text: str) -> tuple[int, int]:
    """Return exit status and signal of a job: ``3:0`` as of Slurm 24.11, and as wait(2) has both before.

    Examples
    --------
    >>> from hpcml.slurm.jobs.states import parse_exit_code
    >>> parse_exit_code("3:0"), parse_exit_code("768"), parse_exit_code("15")
    ((3, 0), (3, 0), (0, 15))
    """
    if ":" in text:
        code, _, number = text.partition(":")
        return int(code), int(number)
    status = int(text) if text.strip().isdecimal() else 0
    return status >> 8 & 0xFF, status & 0x7F


def parse_accounting(text: str) -> dict[str, tuple[str, tuple[int, int]]]:
    """Return state and exit code of jobs that have ended, by their labels, from the output of sacct.

    Examples
    --------
    >>> from hpcml.slurm.jobs.states import parse_accounting
    >>> parse_accounting("5_2|CANCELLED by 1000|0:15\\n7|RUNNING|0:0\\n")
    {'5_2': ('CANCELLED', (0, 15))}
    """
    rows = [line.split("|") for line in text.splitlines()]
    ends = {
        row[0]: (row[1].split()[0], parse_exit_code(row[2])) for row in rows if len(row) == 3 and row[1].split()
    }
    return {label: end for label, end in ends.items() if end[0] in FINAL_STATES}


def expand_output(pattern: str, job: Job) -> str:
    """Return the path of a job's output: Slurm 24.11 shows the pattern (FILENAME PATTERN in sbatch(1))."""
    array, _, task = job.label.partition("_")
    values = {"j": str(job.job_id), "J": str(job.job_id), "A": array, "a": task, "x": job.name, "%": "%"}
    return re.sub(r"%(\d*)([jJAax%])", lambda match: values[match[2]].rjust(int(match[1] or 0), "0"), pattern)
