"""hpcml: a Slurm allocation as Python workers, in one line.

::

    with hpcml.Cluster():
        with parallel_config("hpcml"):
            search.fit(X, y)
"""

import importlib
import sys
from typing import Any

from hpcml.interpreter import runs_program

# `hpcml run` becomes another Python at once, and needs no public names before.
if not runs_program(sys.orig_argv):
    from hpcml.public import (
        Allocation,
        AllocationError,
        Broadcast,
        Cluster,
        CommandError,
        DataError,
        DataMissing,
        EngineError,
        HpcmlError,
        JournalFull,
        Node,
        OutOfTime,
        RunInUse,
        TaskError,
        TaskTimeout,
        WorkerDied,
        detect,
    )

__all__ = [
    "Allocation",
    "AllocationError",
    "Broadcast",
    "Cluster",
    "CommandError",
    "DataError",
    "DataMissing",
    "EngineError",
    "HpcmlError",
    "JournalFull",
    "Node",
    "OutOfTime",
    "RunInUse",
    "TaskError",
    "TaskTimeout",
    "WorkerDied",
    "detect",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Return a public name in a process of `hpcml run` that runs the script itself (``--engine scoop``)."""
    if name not in __all__:
        raise AttributeError(f"module 'hpcml' has no attribute {name!r}")
    return getattr(importlib.import_module("hpcml.public"), name)
