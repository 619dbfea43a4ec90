"""Facts that the checks of ``hpcml doctor`` judge, as plain data: of the driver, of Slurm, and of each node."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hpcml.slurm.allocation import Allocation
from hpcml.slurm.nodes import Node

__all__ = ["Computer", "Facts", "NodeFacts", "Place", "SlurmFacts", "StepFacts"]


@dataclass(frozen=True)
class Place:
    """A directory, as one computer sees it.

    Parameters
    ----------
    kind
        Type of its file system, such as ``tmpfs``, ``nfs4`` or ``lustre``; "" where it is not known.
    total, free
        Bytes of the file system, and those that this user may still write.
    error
        Reason why nothing can be written there; "" where a file could be written.
    """

    path: str
    kind: str = ""
    total: int = 0
    free: int = 0
    error: str = ""


@dataclass(frozen=True)
class Computer:
    """One computer, as a process there sees it; see `hpcml.commands.doctor.computer.describe_computer`.

    Parameters
    ----------
    name, node
        The name of the host, and Slurm's name of the node, "" outside of Slurm's steps.
    addresses, name_error, name_seconds
        The IPv4 addresses that the host's own name resolves to, or the error, and how long that took.
    cpus, online, quota
        The CPUs in this process' mask, those of the computer, and the CPUs' worth of time that its cgroup allows.
    memory, memory_limit
        Bytes of the computer, and those that the cgroup allows; None: no limit.
    limits
        Soft and hard limit of each resource; -1: no limit.
    versions, origins
        Version of each library; the file that Python imports it from, where that is not the file of this version.
    places
        "shared memory", "temporary directory", "home".
    missing
        Paths in environment variables that do not exist here, by variable.
    """

    name: str
    node: str = ""
    uid: int = 0
    addresses: tuple[str, ...] = ()
    name_error: str = ""
    name_seconds: float = 0.0
    cpus: int = 1
    online: int = 1
    quota: float | None = None
    memory: int = 0
    memory_limit: int | None = None
    limits: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    python: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)
    places: Mapping[str, Place] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    gpus: str = ""
    """The first variable that names GPUs, and its value."""

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> "Computer":
        """Return the computer that ``dataclasses.asdict`` and JSON have made plain."""
        places = {name: Place(**place) for name, place in values["places"].items()}
        limits = {name: (soft, hard) for name, (soft, hard) in values["limits"].items()}
        return cls(**{**values, "addresses": tuple(values["addresses"]), "places": places, "limits": limits})


@dataclass
class NodeFacts:
    """Facts that one node's probe has sent so far; those it has not sent are None.

    Parameters
    ----------
    start_seconds
        From the start of the step to the probe's first message.
    clock
        Bounds of the node's clock minus the driver's, in s.
    stages
        The last thing that each part of the probe has begun: where it hangs, if it does.
    driver_reached, controller_reached, reached_back
        Error at each address: of the driver from the node, of the controller's node from the node, and of the node
        from the driver; see `hpcml.engines.nodes.addresses.reach`.
    files
        See `hpcml.commands.doctor.directories.look_at`.
    imports
        Seconds that the import of each library took, or its error.
    described
        Whether the probe has sent all facts about its computer.
    offer_error
        Reason why the node cannot offer its own addresses.
    log
        The last lines of the log about this node, of a probe that has not sent all.
    """

    start_seconds: float | None = None
    clock: tuple[float, float] | None = None
    stages: dict[str, str] = field(default_factory=dict)
    computer: Computer | None = None
    driver_reached: dict[str, str] | None = None
    controller_reached: dict[str, str] | None = None
    reached_back: dict[str, str] | None = None
    files: dict[str, str] | None = None
    imports: dict[str, float | str] = field(default_factory=dict)
    described: bool = False
    offer_error: str = ""
    log: str = ""

    @property
    def is_examined(self) -> bool:
        """True when the probe has looked at all that is on the node itself."""
        return self.described and self.files is not None

    @property
    def is_complete(self) -> bool:
        """True when the probe has nothing more to send."""
        return self.is_examined and None not in (self.driver_reached, self.controller_reached, self.reached_back)


@dataclass(frozen=True)
class SlurmFacts:
    """Facts that Slurm's commands print where the driver is.

    Parameters
    ----------
    answers
        slurmctld's answer to ``scontrol ping``: its error, "" where it answers.
    config, job
        Parameters of ``scontrol show config``, and fields of ``scontrol show job``; empty without an answer.
    mpi_types
        Plugins that ``srun --mpi=list`` names.
    mpi_vendor
        MPI library that mpi4py was built with; "" where mpi4py is not installed.
    seconds_left
        Until the time limit ends the job; None: no limit, or not known.
    """

    version: str = ""
    answers: str = ""
    config: Mapping[str, str] = field(default_factory=dict)
    job: Mapping[str, str] = field(default_factory=dict)
    mpi_types: tuple[str, ...] = ()
    mpi_vendor: str = ""
    seconds_left: float | None = None


@dataclass(frozen=True)
class StepFacts:
    """The step of the probes: its time limit, and what srun has printed.

    Parameters
    ----------
    refused
        Slurm has refused to start the step.
    """

    timeout: float = 60.0
    refused: bool = False
    log: str = ""


@dataclass(frozen=True)
class Facts:
    """All facts of one examination.

    Parameters
    ----------
    environment, prefix
        Environment variables of the driver, and the directory of its Python's environment.
    allocation, problem
        The allocation that the driver is in; or the error of its variables.
    nodes, seen
        The nodes that are examined, and the facts of each.
    controller
        Node that the controller of engine ipyparallel runs on.
    slurm, step
        None where there is no Slurm, and where no step was started.
    directory, run_dir_error
        The working directory, and the reason why no directory for runs can be made there.
    hung_stage
        The last thing that the examination of this host has begun, where it has not ended: of the driver, the name
        alone is known.
    """

    driver: Computer
    environment: Mapping[str, str] = field(default_factory=dict)
    allocation: Allocation | None = None
    problem: str = ""
    nodes: tuple[Node, ...] = ()
    seen: Mapping[str, NodeFacts] = field(default_factory=dict)
    controller: str = ""
    slurm: SlurmFacts | None = None
    step: StepFacts | None = None
    directory: Place = Place("/")
    run_dir_error: str = ""
    lock_error: str = ""
    hung_stage: str = ""
    prefix: str = ""

    @property
    def computers(self) -> dict[str, Computer]:
        """The computers of the nodes that have described themselves; without nodes, this computer."""
        found = {name: node.computer for name, node in self.seen.items() if node.computer is not None}
        return found or ({} if self.nodes or self.hung_stage else {self.driver.name: self.driver})
