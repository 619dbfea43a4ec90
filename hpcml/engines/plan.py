"""Plan of the workers that a Cluster starts: pure functions from an allocation and options to a `Plan`."""

import ast
import itertools
import socket
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from hpcml.data.staging.files import candidate_directories
from hpcml.errors import AllocationError
from hpcml.slurm.allocation import Allocation
from hpcml.slurm.containers import Container
from hpcml.slurm.gpus import JobGpus
from hpcml.slurm.nodes import Node

__all__ = ["Plan", "make_nodes", "preloads", "script_imports"]

# Libraries whose import takes longer than a fork of a process that has imported them.
_PRELOADED = {
    "joblib",
    "numpy",
    "pandas",
    "scipy",
    "sklearn",
    "deap",
    "lightgbm",
    "polars",
    "pyarrow",
    "xgboost",
}
_BY_PART = {"scipy", "sklearn"}  # to import these alone loads little; the time is that of their parts


@dataclass(frozen=True)
class Plan:
    """Workers that an engine has to start.

    Parameters
    ----------
    nodes
        The nodes, with the slots and the CPUs per slot of each.
    allocation
        The Slurm allocation of the nodes; None starts all workers on this computer.
    run_dir
        Directory of the logs; mode 0700.
    environment
        Environment variables of the programs that are started.
    directory
        Working directory of the workers, where their nodes have it.
    timeout
        Seconds until the workers must be ready.
    min_slots
        Number of workers to continue with when not all are ready within `timeout`.
    preload
        Modules that each node imports once, before its workers are forked.
    data_dir
        Directory of shared data for all nodes; None: each node has a directory of its own.
    mpi
        Make the workers ranks of MPI, one for each slot.
    stage_env
        Start the programs from a copy of the virtual environment on each node, if one can be made.
    staged_python
        Path of the interpreter of such a copy, the same on all nodes; "" where there is none.
    container
        The container that the programs run in; None: in none.
    gpus
        The GPUs of the job, as Slurm's record has them.
    session
        Number of the session in its run, from 1; the programs of the session before may still be ending.
    unwanted
        Set when the workers are not waited for any longer: a start that is under way then fails.
    """

    nodes: tuple[Node, ...]
    allocation: Allocation | None
    run_dir: Path
    environment: Mapping[str, str]
    directory: str = "/"
    timeout: float = 60.0
    min_slots: int | None = None
    preload: tuple[str, ...] = ()
    data_dir: Path | None = None
    mpi: bool = False
    stage_env: bool = False
    staged_python: str = ""
    container: Container | None = None
    gpus: JobGpus = field(default_factory=JobGpus)
    session: int = 1
    unwanted: threading.Event = field(default_factory=threading.Event, compare=False, repr=False)

    @property
    def data_name(self) -> str:
        """Name of the directories for shared data."""
        return f"{self.run_dir.name}-{self.session}"

    @property
    def slots(self) -> int:
        """Slots on all nodes together."""
        return sum(node.slots for node in self.nodes)

    @property
    def cpus(self) -> int:
        """CPUs of all nodes together."""
        return sum(node.cpus or node.slots * node.cpus_per_slot for node in self.nodes)

    @property
    def data_places(self) -> tuple[str, ...]:
        """Directories in which each node may make one of its own for shared data, the best first."""
        if self.allocation is None and self.data_dir is not None:
            return (str(self.data_dir),)
        return candidate_directories(self.environment)


def make_nodes(
    allocation: Allocation | None,
    cpus: int,
    everywhere: bool,
    *,
    slots_per_node: int | None = None,
    cpus_per_slot: int | None = None,
    max_slots: int | None = None,
) -> tuple[Node, ...]:
    """Return the nodes to use, with their slots.

    Parameters
    ----------
    allocation
        The Slurm allocation; None outside of one.
    cpus
        The CPUs of this computer that this process may use.
    everywhere
        Use all nodes of the allocation, not only this one.
    slots_per_node, cpus_per_slot
        Numbers that the user asks for; None: those of Slurm.
    max_slots
        Most slots of all nodes together; the first nodes have theirs. None: no limit.

    Raises
    ------
    AllocationError
        This process is one of several that srun started: each would start workers for all.
    """
    if allocation is not None and allocation.task_count > 1 and allocation.where == "step":
        raise AllocationError(
            f"srun started this script {allocation.task_count} times (step {allocation.label}."
            f"{allocation.step_id}), and each would start workers on every slot. Start it once: write "
            "`python script.py` or `hpcml run script.py` in the batch script, without srun before it."
        )
    nodes = allocation.nodes if allocation is not None else ()
    if not everywhere:
        nodes = tuple(node for node in nodes if node.name == allocation.launch_node) if allocation else ()
    if not nodes:
        per_slot = cpus_per_slot or 1
        nodes = (Node(socket.gethostname(), slots=max(cpus // per_slot, 1), cpus_per_slot=per_slot, cpus=cpus),)
    wanted = tuple(
        replace(
            node,
            slots=slots_per_node or _slots(node, cpus_per_slot),
            cpus_per_slot=cpus_per_slot or node.cpus_per_slot,
        )
        for node in nodes
    )
    return wanted if max_slots is None else _first_slots(wanted, max_slots)


def _first_slots(nodes: Sequence[Node], most: int) -> tuple[Node, ...]:
    """Return the first nodes, with `most` slots together."""
    before = (0, *itertools.accumulate(node.slots for node in nodes))
    return tuple(
        replace(node, slots=min(node.slots, most - taken))
        for node, taken in zip(nodes, before, strict=False)
        if taken < most
    )


def _slots(node: Node, cpus_per_slot: int | None) -> int:
    """Return the number of slots of a node, each with `cpus_per_slot`; None: as Slurm has it."""
    if cpus_per_slot is None:
        return node.slots
    return max((node.cpus or node.slots * node.cpus_per_slot) // cpus_per_slot, 1)


def preloads(modules: Iterable[str]) -> tuple[str, ...]:
    """Return those of `modules` that each node should import before it forks its workers.

    Examples
    --------
    >>> from hpcml.engines.plan import preloads
    >>> preloads(["os", "numpy", "sklearn.svm", "sklearn.svm._base", "my_module"])
    ('numpy', 'sklearn.svm')
    """
    names = (module.split(".") for module in modules)
    wanted = (parts[: 2 if parts[0] in _BY_PART else 1] for parts in names if parts[0] in _PRELOADED)
    return tuple(sorted({".".join(parts) for parts in wanted if not parts[-1].startswith("_")}))


def script_imports(source: str) -> list[str]:
    """Return the modules that a script imports by name; none when it is not Python.

    Examples
    --------
    >>> from hpcml.engines.plan import script_imports
    >>> script_imports("import numpy as np\\nfrom sklearn.svm import SVC")
    ['numpy', 'sklearn.svm']
    """
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except (SyntaxError, ValueError):
        return []
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    return names + [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
