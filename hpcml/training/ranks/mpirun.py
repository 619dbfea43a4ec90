"""Ranks that mpirun has started: they find each other through MPI."""

import importlib.util
import socket
import sys
from collections.abc import Callable, Collection, Mapping
from typing import Any

from hpcml.errors import EngineError, HpcmlError
from hpcml.training.ranks.place import Place, place_among

__all__ = ["place_of_mpirun", "ranks_of_mpirun", "send_to_all"]


def ranks_of_mpirun(env: Mapping[str, str]) -> int:
    """Return how many ranks mpirun has started; 0 where srun has, or nobody.

    Beneath mpirun, Slurm's variables describe its daemons; srun too sets ``PMI_*`` for its plugin pmi2.

    Examples
    --------
    >>> from hpcml.training.ranks.mpirun import ranks_of_mpirun
    >>> ranks_of_mpirun({"OMPI_COMM_WORLD_SIZE": "4", "SLURM_STEP_NUM_TASKS": "2"})
    4
    >>> srun = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1"}
    >>> ranks_of_mpirun({"PMI_SIZE": "2", "PMI_RANK": "1", **srun}), ranks_of_mpirun({"PMI_SIZE": "2"})
    (0, 2)
    """
    if env.get("OMPI_COMM_WORLD_SIZE", "").isdecimal():
        return int(env["OMPI_COMM_WORLD_SIZE"])
    of_srun = (env.get("SLURM_STEP_NUM_TASKS"), env.get("SLURM_PROCID"))
    if env.get("PMI_SIZE", "").isdecimal() and (env["PMI_SIZE"], env.get("PMI_RANK")) != of_srun:
        return int(env["PMI_SIZE"])
    return 0


def place_of_mpirun(size: int, mask: Collection[int]) -> tuple[Place, Any]:
    """Return the place of this rank, and the communicator of all ranks.

    Raises
    ------
    EngineError
        mpi4py is missing, or its library of MPI is not that of mpirun.
    """
    if importlib.util.find_spec("mpi4py") is None:
        raise EngineError(
            f"mpirun has started {size} ranks, which find each other through mpi4py, and that is not installed: "
            f"{sys.executable} -m pip install mpi4py"
        )
    from mpi4py import MPI

    comm = MPI.COMM_WORLD
    if comm.size != size:
        raise EngineError(
            f"mpirun has started {size} ranks, and the library of mpi4py, {MPI.get_vendor()[0]}, knows "
            f"{comm.size}: start the program by the mpirun of that library"
        )
    seen = comm.allgather((socket.gethostname(), frozenset(mask)))
    return place_among(comm.rank, seen), comm


def send_to_all(comm: Any, make: Callable[[], str]) -> str:
    """Return on all ranks what `make` returns on rank 0; its error too is raised on all."""
    made: str | HpcmlError | None = None
    if comm.rank == 0:
        try:
            made = make()
        except HpcmlError as error:
            made = error
    found = comm.bcast(made)
    if isinstance(found, HpcmlError):
        raise found
    return str(found)
