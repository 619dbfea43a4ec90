"""Communicator of a worker that is a rank of MPI, for functions of `hpcml.Cluster.comm_map`."""

from collections.abc import Callable, Sequence
from typing import Any

from hpcml.errors import HpcmlError

__all__ = ["become_rank", "run_on_rank"]

_world: Any = None  # COMM_WORLD of a rank
_own: Any = None  # its copy for functions
_number = -1  # of that copy


def become_rank(world: Any) -> None:
    """Note the communicator of all ranks, which this process is one of."""
    global _world  # noqa: PLW0603  one process is one rank
    _world = world


def run_on_rank(function: Callable[..., Any], number: int, args: Sequence[Any]) -> Any:
    """Call a function with this rank's communicator, as all other ranks do now.

    Parameters
    ----------
    number
        Number of the communicator. Another one makes another copy of MPI's world: messages that a failed call has
        left in the former one do not reach this call.
    """
    global _own, _number  # noqa: PLW0603  one process is one rank
    if _world is None:
        raise HpcmlError('this worker is no rank of MPI: open Cluster(engine="ipyparallel", mpi=True)')
    if _own is None or number != _number:
        _own = _world.Dup()
        _number = number
    return function(_own, *args)
