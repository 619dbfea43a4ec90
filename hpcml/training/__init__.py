"""Training of a model on all ranks of a step: their variables, sums over them, and checkpoints."""

from hpcml.training.checkpoints import Checkpoints, LoadedCheckpoint
from hpcml.training.data_parallel import DataParallel
from hpcml.training.model_parallel import SplitLinear, pipeline_step
from hpcml.training.parameter_server import ParameterServer
from hpcml.training.ranks import rank_env
from hpcml.training.shards import scaled_rate, shard
from hpcml.training.shares import weighted_shares

__all__ = [
    "Checkpoints",
    "DataParallel",
    "LoadedCheckpoint",
    "ParameterServer",
    "SplitLinear",
    "pipeline_step",
    "rank_env",
    "scaled_rate",
    "shard",
    "weighted_shares",
]
