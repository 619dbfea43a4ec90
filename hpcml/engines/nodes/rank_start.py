"""Start of MPI in a process that is a rank of a step."""

from typing import Any

__all__ = ["WrongWorld", "start_mpi"]


class WrongWorld(Exception):
    """MPI has started this rank alone, or with others than those of its step."""


def start_mpi(size: int, has_pmix: bool, threads: bool) -> Any:
    """Return mpi4py's MPI, started together with the other ranks; it has no end by itself.

    Parameters
    ----------
    size
        Number of ranks that there are.
    has_pmix
        Slurm's plugin pmix, or an mpirun, has started the ranks.
    threads
        All threads may call MPI, where the library allows that; otherwise the one that starts it.

    Raises
    ------
    WrongWorld
        The world of MPI has another size.
    """
    import mpi4py

    mpi4py.rc.initialize = False
    mpi4py.rc.finalize = False
    from mpi4py import MPI

    name, version = MPI.get_vendor()
    # Open MPI 5 asks PMIx alone. A rank without others leaves a file in /dev/shm, however it ends (5.0.7, 5.0.11).
    if name == "Open MPI" and version >= (5,) and not has_pmix:
        raise WrongWorld(f"{name} has started 1 of {size} ranks together")
    MPI.Init_thread(MPI.THREAD_MULTIPLE if threads else MPI.THREAD_FUNNELED)
    found = MPI.COMM_WORLD.size
    if found == 1 < size:
        MPI.Finalize()  # MPICH then removes its file in /dev/shm; together with other ranks, this could hang
    if found != size:
        raise WrongWorld(f"{name} has started {found} of {size} ranks together")
    return MPI
