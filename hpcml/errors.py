"""Errors that hpcml itself raises.

::

    HpcmlError
    ├── AllocationError   the SLURM_* variables are partial or contradict each other
    ├── CommandError      a command of Slurm's, or a child process, failed
    ├── DataError         data cannot be put on the nodes
    ├── DataMissing       a worker did not find data that was sent to its node
    ├── EngineError       an engine could not start, or is gone
    ├── JournalFull       the journal cannot be written
    ├── OutOfTime         the job's time is up; the remaining tasks are left for a resumed run
    ├── RunInUse          another driver is at work on the run that should be resumed
    ├── TaskError         a task's function, argument or result cannot be sent
    ├── TaskTimeout       a task ran longer than it may
    └── WorkerDied        the process that ran a task has ended

A message says what happened, which value or output was seen, and what to type next.
"""

from pathlib import Path

__all__ = [
    "AllocationError",
    "CommandError",
    "DataError",
    "DataMissing",
    "EngineError",
    "HpcmlError",
    "JournalFull",
    "OutOfTime",
    "RunInUse",
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
    """A command failed; the message carries the command, its exit code and the ends of its output."""


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


class JournalFull(HpcmlError):
    """The journal of a run cannot be written; the message names the file and its bytes."""


class OutOfTime(HpcmlError):
    """The job is about to end, or got a signal: ended tasks are in the journal, the other tasks did not start."""


class RunInUse(HpcmlError):
    """Another driver is at work on the run that should be resumed; the message names it."""


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
