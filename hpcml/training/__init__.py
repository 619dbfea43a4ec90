"""Training of a model on all ranks of a step: their variables, sums over them, and checkpoints."""

from hpcml.training.checkpoints.checkpoints import Checkpoints, LoadedCheckpoint
from hpcml.training.parallel.data_parallel import DataParallel
from hpcml.training.parallel.model_parallel import SplitLinear, pipeline_step
from hpcml.training.parallel.parameter_server import ParameterServer
from hpcml.training.parallel.shards import scaled_rate, shard
from hpcml.training.parallel.shares import weighted_shares
from hpcml.training.ranks.environment import rank_env

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
