"""``mpirun -n 4 hpcml run script.py``: rank 0 runs the script, and the other ranks are its workers."""

import importlib.util
import sys
from collections.abc import Mapping

from hpcml.errors import HpcmlError

__all__ = ["check_ranks", "count_ranks"]

SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE")
"""Variables with the number of ranks: of Open MPI's mpirun, and of those of MPICH and Intel MPI."""


def count_ranks(environment: Mapping[str, str]) -> int:
    """Return how often mpirun has started this program; 1 without mpirun.

    Slurm's variables do not count: beneath mpirun they describe its daemons.

    Examples
    --------
    >>> from hpcml.commands.ranks import count_ranks
    >>> count_ranks({"OMPI_COMM_WORLD_SIZE": "4", "SLURM_STEP_NUM_TASKS": "2"}), count_ranks({"SLURM_NTASKS": "8"})
    (4, 1)
    """
    sizes = (environment.get(name, "") for name in SIZES)
    return next((int(size) for size in sizes if size.isdecimal()), 1)


def check_ranks(count: int, engine: str, container: str | None) -> None:
    """Raise HpcmlError where several ranks cannot be workers of one script."""
    started = f"mpirun has started `hpcml run` {count} times"
    if engine not in ("auto", "mpi"):
        raise HpcmlError(
            f"{started}, and engine {engine!r} starts its own workers: leave mpirun out, or --engine {engine}"
        )
    if container:
        raise HpcmlError(
            f"{started}, and each would start the script in {container}: have mpirun start the container, "
            "as in `mpirun -n 4 apptainer exec image.sif hpcml run script.py`"
        )
    if importlib.util.find_spec("mpi4py") is None:
        raise HpcmlError(
            f"{started}, which needs mpi4py to send tasks from one rank to the others: "
            f"{sys.executable} -m pip install mpi4py"
        )
