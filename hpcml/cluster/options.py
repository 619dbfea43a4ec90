"""Options of a Cluster: one field each, with its flag of `hpcml run`, and checked."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from hpcml import engines
from hpcml.cluster.option_fields import Flag, about, names, path, run_to_resume, sbatch_options

__all__ = ["Options", "flags"]

_OF_SLOTS = ("slots_per_node", "cpus_per_slot", "max_slots")
_WHOLE_NUMBERS = (
    *_OF_SLOTS,
    *("nodes", "ntasks_per_node", "cpus_per_task", "nodes_per_job", "min_slots", "retries", "max_result_nbytes"),
)
OF_A_REQUEST = (
    *("ntasks_per_node", "cpus_per_task", "time", "partition", "account", "sbatch"),
    *("nodes_per_job", "idle_timeout", "queue_timeout"),
)
NOT_FOR_RANKS = ("nodes", *_OF_SLOTS, "min_slots", "mpi", "stage_env", "container", "container_image")


@dataclass(frozen=True)
class Options:
    """Options that a user may give to a Cluster, in the order of its signature; see `hpcml.Cluster`.

    A new option is a field here, a parameter of `hpcml.Cluster`, and an entry in the docstring of that class.
    """

    engine: str = field(
        default="auto",
        metadata=about(Flag(", ".join(("auto", *engines.LIBRARIES, "scoop", "torch")), str), must_match=True),
    )
    slots_per_node: int | None = field(
        default=None, metadata=about(Flag("instead of Slurm's tasks per node", int, "N"), must_match=True)
    )
    cpus_per_slot: int | None = field(
        default=None, metadata=about(Flag("instead of Slurm's CPUs per task", int, "N"), must_match=True)
    )
    max_slots: int | None = field(
        default=None, metadata=about(Flag("use no more slots, of the first nodes", int, "N"), must_match=True)
    )
    nodes: int | None = None
    ntasks_per_node: int | None = None
    cpus_per_task: int | None = None
    time: str | int | None = None
    partition: str | None = None
    account: str | None = None
    sbatch: tuple[tuple[str, str | None], ...] | None = field(
        default=None, metadata=about(convert=sbatch_options)
    )
    nodes_per_job: int | None = None
    idle_timeout: float | None = None
    queue_timeout: float | None = None
    min_slots: int | None = field(
        default=None, metadata=about(Flag("start when so many workers have come", int, "N"))
    )
    mpi: bool = field(default=False, metadata=about(must_match=True))
    timeout: float = field(default=60.0, metadata=about(Flag("seconds for the start (60)", float, "S")))
    retries: int = 3
    run_dir: Path | None = field(default=None, metadata=about(Flag("where logs go (.hpcml)", Path, "DIR"), path))
    preload: tuple[str, ...] | None = field(default=None, metadata=about(convert=names))
    max_nbytes: int | None = 1 << 20
    data_dir: Path | None = field(default=None, metadata=about(convert=path, must_match=True))
    stage_env: bool = field(
        default=False, metadata=about(Flag("start workers from a copy of the virtual environment on each node"))
    )
    container: str | None = field(
        default=None, metadata=about(Flag("run in this image, by Apptainer", str, "IMAGE"), must_match=True)
    )
    container_image: str | None = field(
        default=None, metadata=about(Flag("run in this image, by Slurm's pyxis", str, "IMAGE"), must_match=True)
    )
    journal: bool | str = True
    resume: bool | Path = field(
        default=False,
        metadata=about(
            Flag("go on with this script's last run, if there is one"), run_to_resume, must_match=True
        ),
    )
    requeue: bool = field(
        default=False, metadata=about(Flag("requeue the job when its time is over; --resume"), must_match=True)
    )
    task_timeout: float | None = field(
        default=None, metadata=about(Flag("seconds that one task may run", float, "S"), must_match=True)
    )
    max_result_nbytes: int = 1 << 30
    comm: Any = None  # of mpi4py; then the ranks that have joined
    progress: bool = field(default=True, metadata=about(Flag("no progress and no closing line", name="quiet")))

    @classmethod
    def from_arguments(cls, arguments: Mapping[str, Any]) -> Self:
        """Return the options that are among `arguments` of a call or of a command line.

        Other arguments are passed over. An option that is not among them has its default; a requeued run is one
        that is resumed.

        Raises
        ------
        ValueError
            An option has a value that it cannot have; the message says which it may have.

        Examples
        --------
        >>> from hpcml.cluster.options import Options
        >>> options = Options.from_arguments({"run_dir": "runs", "requeue": True, "script": "search.py"})
        >>> options.run_dir, options.resume
        (PosixPath('runs'), True)
        """
        given: dict[str, Any] = {}
        for option in fields(cls):
            if option.name in arguments:
                convert = option.metadata.get("convert")
                value = arguments[option.name]
                given[option.name] = value if convert is None else convert(value)
        given["resume"] = given.get("resume", False) or given.get("requeue", False)
        return cls(**given)

    def are_met_by(self, opened: "Options") -> bool:
        """Return whether a Cluster with options `opened` has all that these ask for; defaults ask for nothing."""
        return all(
            getattr(self, option.name) in (option.default, getattr(opened, option.name))
            for option in fields(self)
            if option.metadata.get("must_match")
        )

    @property
    def of_slots(self) -> dict[str, int | None]:
        """Numbers of slots and CPUs that the user asks for; see `hpcml.engines.plan.make_nodes`."""
        return {name: getattr(self, name) for name in _OF_SLOTS}

    def _check_request(self) -> None:
        """Raise ValueError for a request of nodes that makes no sense, or of ranks."""
        for name in ("nodes", "mpi"):
            if getattr(self, name) and self.engine not in ("auto", "ipyparallel"):
                raise ValueError(f"Cluster({name}=…, engine={self.engine!r}): it must be 'ipyparallel' or 'auto'")
        if self.nodes is None:
            for name in OF_A_REQUEST:
                value = getattr(self, name)
                if value is not None:
                    raise ValueError(f"Cluster({name}={value!r}) is about nodes that Slurm gives: add nodes=…")
            return
        for name in ("idle_timeout", "queue_timeout"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"Cluster({name}={value!r}): it must be a number of seconds above 0")
        for name, instead in zip(_OF_SLOTS, ("ntasks_per_node", "cpus_per_task", "nodes"), strict=True):
            if getattr(self, name) is not None:
                raise ValueError(f"Cluster(nodes=…, {name}=…): write {instead}=…, which Slurm is asked for")

    def _check_ranks(self) -> None:
        """Raise ValueError for options that workers which are ranks of the user's own cannot have."""
        if self.comm is None:
            return
        if self.engine not in ("auto", "mpi"):
            raise ValueError(f"Cluster(comm=…, engine={self.engine!r}): it must be 'mpi' or 'auto'")
        for name in NOT_FOR_RANKS:
            if value := getattr(self, name):
                raise ValueError(f"Cluster(comm=…, {name}={value!r}): leave {name} out, for mpirun has the ranks")
        if self.task_timeout is not None:
            raise ValueError(
                f"Cluster(comm=…, task_timeout={self.task_timeout!r}): the end of a rank is the end of all. Use "
                "another engine, or let the task itself take care of the time"
            )

    def __post_init__(self) -> None:
        self._check_request()
        self._check_ranks()
        if self.journal not in (True, False, "required"):
            raise ValueError(f"Cluster(journal={self.journal!r}): it must be True, False or 'required'")
        if self.resume and not self.journal:
            raise ValueError("Cluster(resume=…, journal=False): a run is resumed from its journal")
        if self.container and self.container_image:
            raise ValueError(
                "Cluster(container=…, container_image=…): give one of them, for Apptainer or for pyxis"
            )
        if self.stage_env and (self.container or self.container_image):
            raise ValueError(
                "Cluster(stage_env=True) is for workers in no container: an image is one file already"
            )
        for name in _WHOLE_NUMBERS:
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < 1):
                raise ValueError(f"Cluster({name}={value!r}): it must be a whole number, 1 or more")
        if self.task_timeout is not None and not self.task_timeout > 0:
            raise ValueError(
                f"Cluster(task_timeout={self.task_timeout!r}): it must be a number of seconds above 0"
            )
        if not self.timeout > 0:
            raise ValueError(f"Cluster(timeout={self.timeout!r}): it must be a number of seconds above 0")
        if self.max_nbytes is not None and (not isinstance(self.max_nbytes, int) or self.max_nbytes < 0):
            raise ValueError(f"Cluster(max_nbytes={self.max_nbytes!r}): it must be a number of bytes, or None")
        if self.data_dir is not None and not (self.data_dir.is_dir() and os.access(self.data_dir, os.W_OK)):
            raise ValueError(f"Cluster(data_dir={str(self.data_dir)!r}) is not a directory that you can write to")


def flags() -> dict[str, Flag]:
    """Return the options that `hpcml run` has, by name."""
    return {option.name: option.metadata["flag"] for option in fields(Options) if option.metadata.get("flag")}
