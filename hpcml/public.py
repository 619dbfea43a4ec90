"""Public names of ``import hpcml``; the import registers joblib's backend ``"hpcml"``."""

from hpcml.cluster.cluster import Cluster
from hpcml.cluster.joblib.registration import register_backend as _register_backend
from hpcml.cluster.jobs.array import map_array
from hpcml.cluster.jobs.job import Job
from hpcml.cluster.jobs.submission import submit
from hpcml.data.broadcast import Broadcast
from hpcml.errors import (
    AllocationError,
    ArrayFailed,
    CommandError,
    DataError,
    DataMissing,
    EngineError,
    HpcmlError,
    JobFailed,
    JournalFull,
    OutOfTime,
    RunInUse,
    SubmissionError,
    TaskError,
    TaskTimeout,
    WorkerDied,
)
from hpcml.slurm.allocation import Allocation, detect
from hpcml.slurm.nodes import Node

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

_register_backend()
