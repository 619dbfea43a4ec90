"""Options of a Cluster: one field each, with its flag of `hpcml run`, and checked."""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from hpcml import engines

__all__ = ["Flag", "Options", "flags"]


@dataclass(frozen=True)
class Flag:
    """An option as `hpcml run` has it.

    Parameters
    ----------
    help
        Shown by ``hpcml run --help``.
    convert
        Makes the value of the word that follows the flag; None for a switch, which has none.
    metavar
        Stands for that word in the help.
    name
        The flag's own name, where it is not that of the option.
    """

    help: str
    convert: Callable[[str], object] | None = None
    metavar: str | None = None
    name: str = ""


def _about(
    flag: Flag | None = None, convert: Callable[[Any], object] | None = None, must_match: bool = False
) -> dict[str, object]:
    """Return the metadata of a field of `Options`.

    Parameters
    ----------
    flag
        The option in `hpcml run`; None where that has no such option.
    convert
        Makes the field's value of a user's argument.
    must_match
        A Cluster that a script of `hpcml run` opens joins the one that is open only where that has the same value.
    """
    return {"flag": flag, "convert": convert, "must_match": must_match}


def _path(argument: str | Path | None) -> Path | None:
    return None if argument is None else Path(argument)


def _names(argument: Iterable[str] | None) -> tuple[str, ...] | None:
    return None if argument is None else tuple(argument)


def _run_to_resume(argument: bool | str | Path) -> bool | Path:
    return argument if isinstance(argument, bool) else Path(argument)


@dataclass(frozen=True)
class Options:
    """Options that a user may give to a Cluster, in the order of its signature; see `hpcml.Cluster`.

    A new option is a field here, a parameter of `hpcml.Cluster`, and an entry in the docstring of that class.
    """

    engine: str = field(
        default="auto",
        metadata=_about(Flag(", ".join(("auto", *engines.LIBRARIES, "scoop")), str), must_match=True),
    )
    slots_per_node: int | None = field(
        default=None, metadata=_about(Flag("instead of Slurm's tasks per node", int, "N"), must_match=True)
    )
    cpus_per_slot: int | None = field(
        default=None, metadata=_about(Flag("instead of Slurm's CPUs per task", int, "N"), must_match=True)
    )
    min_slots: int | None = field(
        default=None, metadata=_about(Flag("start when so many workers have come", int, "N"))
    )
    timeout: float = field(default=60.0, metadata=_about(Flag("seconds for the start (60)", float, "S")))
    retries: int = 3
    run_dir: Path | None = field(default=None, metadata=_about(Flag("where logs go (.hpcml)", Path, "DIR"), _path))
    preload: tuple[str, ...] | None = field(default=None, metadata=_about(convert=_names))
    max_nbytes: int | None = 1 << 20
    data_dir: Path | None = field(default=None, metadata=_about(convert=_path, must_match=True))
    journal: bool | str = True
    resume: bool | Path = field(
        default=False,
        metadata=_about(
            Flag("go on with this script's last run, if there is one"), _run_to_resume, must_match=True
        ),
    )
    requeue: bool = field(
        default=False, metadata=_about(Flag("requeue the job when its time is over; --resume"), must_match=True)
    )
    task_timeout: float | None = field(
        default=None, metadata=_about(Flag("seconds that one task may run", float, "S"), must_match=True)
    )
    max_result_nbytes: int = 1 << 30
    progress: bool = field(default=True, metadata=_about(Flag("no progress and no closing line", name="quiet")))

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

    def __post_init__(self) -> None:
        if self.journal not in (True, False, "required"):
            raise ValueError(f"Cluster(journal={self.journal!r}): it must be True, False or 'required'")
        if self.resume and not self.journal:
            raise ValueError("Cluster(resume=…, journal=False): a run is resumed from its journal")
        for name in ("slots_per_node", "cpus_per_slot", "min_slots", "retries", "max_result_nbytes"):
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
