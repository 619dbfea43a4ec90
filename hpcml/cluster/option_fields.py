"""Parts of the fields of `hpcml.cluster.options.Options`: flags, and conversions of arguments."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Flag", "about", "names", "path", "run_to_resume", "sbatch_options"]


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


def about(
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


def path(argument: str | Path | None) -> Path | None:
    """Return a path, None for none."""
    return None if argument is None else Path(argument)


def names(argument: Iterable[str] | None) -> tuple[str, ...] | None:
    """Return names as a tuple, None for none."""
    return None if argument is None else tuple(argument)


def sbatch_options(argument: Mapping[str, object] | None) -> tuple[tuple[str, str | None], ...] | None:
    """Return options of sbatch by their long names; True makes a switch, None and False leave an option out."""
    given = {name.lstrip("-").replace("_", "-"): value for name, value in (argument or {}).items()}
    kept = {name: value for name, value in given.items() if value is not None and value is not False}
    return tuple((name, None if value is True else str(value)) for name, value in kept.items()) or None


def run_to_resume(argument: bool | str | Path) -> bool | Path:
    """Return whether to resume, or the run to resume."""
    return argument if isinstance(argument, bool) else Path(argument)
