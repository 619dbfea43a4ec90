"""Training of a model on all ranks of a step: the variables that torch.distributed and its like read."""

from hpcml.training.ranks import rank_env

__all__ = ["rank_env"]
