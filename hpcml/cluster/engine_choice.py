"""Choice of the engine of a Cluster whose user has named none."""

import sys
from collections.abc import Mapping
from typing import NamedTuple

from hpcml import engines
from hpcml.cluster.fleet.choice import Choice
from hpcml.cluster.options import Options
from hpcml.engines.plan import make_nodes
from hpcml.errors import HpcmlError

__all__ = ["CONTROLLER_SLOTS", "EngineChoice", "choose_engine"]

CONTROLLER_SLOTS = 256
"""Slots of an allocation up to which ipyparallel is chosen.

Its controller has a connection to each engine, and asks each whether it is alive: at rest 0.9 % of a core, and
0.055 % and two open files more for each engine, seen with 8 to 96 engines on a computer of two cores.
"""


FAULT_TOLERANT = "OMPI_MCA_mpi_ft_enable"  # set for the ranks by Open MPI's ``mpirun --with-ft ulfm``


class EngineChoice(NamedTuple):
    """Name of an engine, and the reason in words; "" where the user has named it, or there is no other."""

    name: str
    reason: str = ""


def choose_engine(choice: Choice, environment: Mapping[str, str]) -> EngineChoice:
    """Return the engine for the nodes of a Cluster: the user's, else the one that carries so many slots.

    Raises
    ------
    AllocationError
        This process is one of several that srun started.
    """
    options = choice.options
    if options.comm is not None and environment.get(FAULT_TOLERANT) == "1":
        return EngineChoice("mpi", "a lost rank costs its task alone, by ULFM")
    if options.engine != "auto":
        return EngineChoice(options.engine)
    if options.mpi:
        return EngineChoice("ipyparallel", "whose workers are ranks of MPI")
    if choice.allocation is None:
        return EngineChoice("local" if choice.is_local else "ipyparallel")
    nodes = make_nodes(choice.allocation, 1, True, **options.of_slots)
    if sum(node.slots for node in nodes) <= CONTROLLER_SLOTS:
        return EngineChoice("ipyparallel", f"up to {CONTROLLER_SLOTS} slots")
    return _choose_of_many(options, environment)


def _choose_of_many(options: Options, environment: Mapping[str, str]) -> EngineChoice:
    """Return the engine for more slots than ipyparallel carries well: mpi, where nothing is against that."""
    many = f"above {CONTROLLER_SLOTS} slots"
    if "ipyparallel" in sys.modules:
        return EngineChoice("ipyparallel", "the script imports it")
    if options.container or options.container_image:
        return EngineChoice("ipyparallel", f"mpi, the choice {many}, has to be asked for in a container")
    try:
        return EngineChoice("mpi", f"{many}; {engines.find_mpi(environment)}")
    except HpcmlError as error:
        return EngineChoice("ipyparallel", f"mpi, the choice {many}, cannot start here: {error}")
