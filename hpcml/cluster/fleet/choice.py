"""Choice of the nodes that a Cluster asks for with ``nodes=``: an allocation that has them, or jobs."""

import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass

from hpcml.cluster.fleet.request import Request, Timing, allocation_for, options_in_allocation, request_of
from hpcml.cluster.options import Options
from hpcml.errors import HpcmlError, SubmissionError
from hpcml.slurm.allocation import Allocation
from hpcml.slurm.jobs.site import read_site

__all__ = ["Choice", "choose"]

log = logging.getLogger("hpcml")

TIMING = Timing()


@dataclass(frozen=True)
class Choice:
    """Nodes of a Cluster: an allocation, or None for this computer, or else a request to Slurm for jobs.

    ``options`` are the user's, as the engine takes them.
    """

    options: Options
    allocation: Allocation | None = None
    request: Request | None = None

    @property
    def is_local(self) -> bool:
        """Return whether the Cluster is on this computer alone."""
        return self.allocation is None and self.request is None


def choose(options: Options, allocation: Allocation | None, environment: Mapping[str, str]) -> Choice:
    """Return the nodes for a Cluster in a process that is in `allocation`, or in none.

    Raises
    ------
    SubmissionError
        Nodes are asked for, and this computer has no Slurm.
    HpcmlError
        The site's defaults for jobs cannot be read; or jobs are needed, and their workers should be ranks of MPI.
    """
    if options.nodes is None:
        return Choice(options, allocation)
    part = allocation_for(options, allocation)
    if part is not None:
        return Choice(options_in_allocation(options), part)
    if options.mpi:
        raise HpcmlError(
            f"Cluster(nodes={options.nodes}, mpi=True) would submit a job, and ranks of MPI are started in that "
            "of their script alone: open Cluster(mpi=True) in one, as `hpcml submit` and `hpcml jupyter` start it"
        )
    if shutil.which("sbatch", path=environment.get("PATH")) is None:
        raise SubmissionError(
            f"Cluster(nodes={options.nodes}) asks Slurm for nodes, and there is no Slurm here: no sbatch is on "
            "the PATH. On a cluster, run this on a login node; to use this computer alone, write hpcml.Cluster()"
        )
    if allocation is not None:
        log.info("job %s has not the nodes that are asked for: submitting a job", allocation.label)
    return Choice(options, request=request_of(options, read_site(environment), TIMING))
