"""Training of a model on all ranks of a step: their variables, sums over them, and checkpoints.

A name is imported with its first use: the programs beside the ranks need no numpy.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpcml.training.checkpoints.checkpoints import Checkpoints, LoadedCheckpoint
    from hpcml.training.parallel.data_parallel import DataParallel
    from hpcml.training.parallel.model_parallel import SplitLinear, pipeline_step
    from hpcml.training.parallel.parameter_server import ParameterServer
    from hpcml.training.parallel.shards import scaled_rate, shard, weighted_shares
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

_MODULES = {
    "Checkpoints": "checkpoints.checkpoints",
    "DataParallel": "parallel.data_parallel",
    "LoadedCheckpoint": "checkpoints.checkpoints",
    "ParameterServer": "parallel.parameter_server",
    "SplitLinear": "parallel.model_parallel",
    "pipeline_step": "parallel.model_parallel",
    "rank_env": "ranks.environment",
    "scaled_rate": "parallel.shards",
    "shard": "parallel.shards",
    "weighted_shares": "parallel.shards",
}


def __getattr__(name: str) -> Any:
    """Return a public name."""
    if name not in _MODULES:
        raise AttributeError(f"module 'hpcml.training' has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    """Return the public names."""
    return __all__
