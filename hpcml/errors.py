"""Errors that hpcml itself raises.

::

    HpcmlError
    ├── AllocationError   the SLURM_* variables are partial or contradict each other
    ├── CommandError      a command of Slurm's, or a child process, failed
    ├── DataError         data cannot be put on the nodes
    ├── DataMissing       a worker did not find data that was sent to its node
    ├── EngineError       an engine could not start, or is gone
    ├── JobFailed         a job has ended without a result
    │   └── ArrayFailed   calls of an array of jobs have failed, or have no result
    ├── JournalFull       the journal cannot be written
    ├── OutOfTime         the job's time is up; the remaining tasks are left for a resumed run
    ├── RunInUse          another driver is at work on the run that should be resumed
    ├── SubmissionError   a job cannot be submitted
    ├── TaskError         a task's function, argument or result cannot be sent
    ├── TaskTimeout       a task ran longer than it may
    └── WorkerDied        the process that ran a task has ended

A message says what happened, which value or output was seen, and what to type next.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = [
    "AllocationError",
    "ArrayFailed",
    "CommandError",
    "DataError",
    "DataMissing",
    "EngineError",
    "HpcmlError",
    "JobFailed",
    "JournalFull",
    "OutOfTime",
    "RunInUse",
    "SubmissionError",
    "TaskError",
    "TaskTimeout",
    "WorkerDied",
    "journal_start_error",
    "shut_down_error",
]


class HpcmlError(Exception):
    """The root of all errors that hpcml raises; catch it to catch them all."""


class AllocationError(HpcmlError):
    """The ``SLURM_*`` variables of the environment are partial, stale, or contradict each other."""


class CommandError(HpcmlError):
    """A command failed; the message carries the command, its exit code and the ends of its output.

    ``errors`` is the command's standard error.
    """

    def __init__(self, message: str, errors: str = "") -> None:
        super().__init__(message)
        self.errors = errors


class DataError(HpcmlError):
    """Data cannot be put on the nodes; the message names the node, the path and the bytes."""


class DataMissing(HpcmlError):
    """A worker did not find the data that its task refers to; the data is sent again. ``digest`` names it."""

    def __init__(self, message: str, digest: str) -> None:
        super().__init__(message, digest)
        self.digest = digest

    def __str__(self) -> str:
        return str(self.args[0])


class EngineError(HpcmlError):
    """An engine could not start, or stopped working; the message names the log to read."""


class JobFailed(HpcmlError):
    """A job has ended without a result.

    ``state`` is Slurm's state of the job, such as ``TIMEOUT``, and ``reason`` says in words why.
    """

    def __init__(self, message: str, state: str = "", reason: str = "") -> None:
        super().__init__(message)
        self.state = state
        self.reason = reason


class ArrayFailed(JobFailed):
    """Calls of `hpcml.map_array` have failed, or have no result; the message names them.

    ``results`` has the values that there are, and ``errors`` the error of each other call, both by the number of
    the call, from 0.
    """

    def __init__(self, message: str, results: Mapping[int, Any], errors: Mapping[int, BaseException]) -> None:
        super().__init__(message)
        self.results = results
        self.errors = errors

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return type(self), (str(self), self.results, self.errors)


class JournalFull(HpcmlError):
    """The journal of a run cannot be written; the message names the file and its bytes."""


class OutOfTime(HpcmlError):
    """The job is about to end, or got a signal: ended tasks are in the journal, the other tasks did not start."""


class RunInUse(HpcmlError):
    """Another driver is at work on the run that should be resumed; the message names it."""


class SubmissionError(HpcmlError):
    """A job cannot be submitted; the message has Slurm's reason, and the names that are valid."""


class TaskError(HpcmlError):
    """A task's function, argument or result cannot be sent between processes."""


class TaskTimeout(HpcmlError, TimeoutError):
    """A task ran longer than ``Cluster(task_timeout=…)`` allows, and its worker was ended."""


class WorkerDied(HpcmlError):
    """The process that ran a task ended before the task did.

    ``worker`` names the process; ``started`` is False for a task that only waited in its queue.
    """

    def __init__(self, message: str, worker: str = "", started: bool = True) -> None:
        super().__init__(message)
        self.worker = worker
        self.started = started


def shut_down_error() -> RuntimeError:
    """Return the error of a call to a Cluster that is shut down; see `concurrent.futures.Executor`."""
    return RuntimeError("this Cluster is shut down: open a new one with `hpcml.Cluster()`")


def journal_start_error(directory: Path, error: OSError) -> JournalFull:
    """Return the error of a run whose journal cannot be made."""
    return JournalFull(
        f"the journal of {directory} cannot be begun, at 0 bytes: {error.strerror}. Free some space there, or "
        "choose another place with Cluster(run_dir=…)"
    )
