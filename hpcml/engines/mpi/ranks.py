"""Ranks of the step of engine ``mpi``, which the relays are.

All calls of MPI are made in one thread.
"""

import os
import signal

from hpcml.engines.mpi.exchange import Exchange
from hpcml.engines.nodes.rank_start import start_mpi

__all__ = ["Ranks"]

FINALIZE_SECONDS = 8  # after which this process ends without MPI's end


class Ranks(Exchange):
    """The ranks of this step, of which this process is one.

    Parameters
    ----------
    node
        Name of this rank's node.
    size
        Number of ranks that the step has.
    has_pmix
        Slurm's plugin pmix has started the ranks.

    Raises
    ------
    WrongWorld
        The world of MPI has another size.
    """

    def __init__(self, node: str, size: int, has_pmix: bool) -> None:
        mpi = start_mpi(size, has_pmix, threads=False)
        comm = mpi.COMM_WORLD.Dup()
        self.rank = comm.rank
        self.nodes: list[str] = comm.allgather(node)
        super().__init__(mpi, comm)

    def close(self) -> None:
        """End MPI together with the other ranks; where that hangs, the kernel ends this process."""
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(FINALIZE_SECONDS)
        self.stop_receiving()
        self._comm.Barrier()
        self._mpi.Finalize()
        os._exit(0)  # the end of the interpreter would call MPI again
