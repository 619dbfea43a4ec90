"""hpcml: a Slurm allocation as Python workers, in one line.

::

    with hpcml.Cluster():
        with parallel_config("hpcml"):
            search.fit(X, y)
"""

import importlib
import sys
from typing import Any

from hpcml.interpreter import runs_command

# `hpcml run` becomes another Python at once, and `hpcml doctor` examines environments in which an import may fail.
if not runs_command(sys.orig_argv):
    from hpcml.public import (
        Allocation,
        AllocationError,
        ArrayFailed,
        Broadcast,
        Cluster,
        CommandError,
        DataError,
        DataMissing,
        EngineError,
        HpcmlError,
        Job,
        JobFailed,
        JournalFull,
        Node,
        OutOfTime,
        RunInUse,
        SubmissionError,
        TaskError,
        TaskTimeout,
        WorkerDied,
        detect,
        map_array,
        submit,
    )

__all__ = [
    "Allocation",
    "AllocationError",
    "ArrayFailed",
    "Broadcast",
    "Cluster",
    "CommandError",
    "DataError",
    "DataMissing",
    "EngineError",
    "HpcmlError",
    "Job",
    "JobFailed",
    "JournalFull",
    "Node",
    "OutOfTime",
    "RunInUse",
    "SubmissionError",
    "TaskError",
    "TaskTimeout",
    "WorkerDied",
    "detect",
    "map_array",
    "submit",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Return a public name in a process of the command `hpcml`, such as a script with ``--engine scoop``."""
    if name not in __all__:
        raise AttributeError(f"module 'hpcml' has no attribute {name!r}")
    return getattr(importlib.import_module("hpcml.public"), name)
