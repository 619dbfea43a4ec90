"""Public names of ``import hpcml``: those of its front door, and joblib's backend ``"hpcml"``."""

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

_register()
