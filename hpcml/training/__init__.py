"""Training of a model on all ranks of a step: their variables, and checkpoints."""

from hpcml.training.checkpoints import Checkpoints, LoadedCheckpoint
from hpcml.training.ranks import rank_env

__all__ = ["Checkpoints", "LoadedCheckpoint", "rank_env"]
