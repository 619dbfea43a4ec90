"""hpcml: a Slurm allocation as Python workers, in one line.

::

    with hpcml.Cluster():
        with parallel_config("hpcml"):
            search.fit(X, y)
"""

from hpcml.allocation import Allocation, Node, detect
from hpcml.broadcast import Broadcast
from hpcml.cluster import Cluster
from hpcml.errors import (
    AllocationError,
    CommandError,
    DataError,
    DataMissing,
    EngineError,
    HpcmlError,
    JournalFull,
    OutOfTime,
    RunInUse,
    TaskError,
    TaskTimeout,
    WorkerDied,
)
from hpcml.joblib_backend import register as _register

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

_register()
