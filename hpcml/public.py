"""Public names of ``import hpcml``; the import registers joblib's backend ``"hpcml"``."""

from hpcml.cluster.cluster import Cluster
from hpcml.cluster.joblib.registration import register_backend as _register_backend
from hpcml.data.broadcast import Broadcast
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
from hpcml.slurm.allocation import Allocation, detect
from hpcml.slurm.nodes import Node

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

_register_backend()
