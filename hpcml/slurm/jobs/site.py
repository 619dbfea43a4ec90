"""Defaults of a site or a user for jobs: the file ``~/.config/hpcml.toml``.

::

    modules = ["python/3.11"]       # loaded in each job
    setup = "/home/me/setup.sh"     # shell commands that each job reads first
    query_seconds = 60              # at least so long from one question to Slurm to the next

    [sbatch]                        # options of sbatch; the command line wins
    partition = "main"
    account = "project"
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hpcml.errors import HpcmlError

__all__ = ["Site", "config_path", "read_site"]

QUERY_SECONDS = 60.0
_KNOWN: Mapping[str, tuple[type, ...]] = {
    "modules": (list,),
    "setup": (str,),
    "query_seconds": (int, float),
    "sbatch": (dict,),
}


@dataclass(frozen=True)
class Site:
    """Defaults for jobs; see the head of `hpcml.slurm.jobs.site`."""

    sbatch: Mapping[str, str | None] = field(default_factory=dict)
    modules: tuple[str, ...] = ()
    setup: str | None = None
    query_seconds: float = QUERY_SECONDS


def config_path(environment: Mapping[str, str]) -> Path:
    """Return the path of the file with the defaults, which need not exist.

    Examples
    --------
    >>> from hpcml.slurm.jobs.site import config_path
    >>> config_path({"XDG_CONFIG_HOME": "/home/me/settings"})
    PosixPath('/home/me/settings/hpcml.toml')
    """
    home = environment.get("XDG_CONFIG_HOME")
    return (Path(home) if home else Path(environment.get("HOME", "~")).expanduser() / ".config") / "hpcml.toml"


def read_site(environment: Mapping[str, str]) -> Site:
    """Return the defaults that the file has.

    Raises
    ------
    HpcmlError
        The file cannot be read, or has an unknown name or a value of a wrong type.
    """
    path = config_path(environment)
    try:
        found = tomllib.loads(path.read_text())
    except FileNotFoundError:
        return Site()
    except (OSError, ValueError) as error:
        raise HpcmlError(f"{path} cannot be read: {error}. Correct the file, or remove it") from error
    for name, value in found.items():
        if name not in _KNOWN:
            raise HpcmlError(f"{path} has the unknown name {name!r}: known are {', '.join(_KNOWN)}")
        if not isinstance(value, _KNOWN[name]) or isinstance(value, bool):
            raise HpcmlError(
                f"{path}: {name} = {value!r} is no {' or '.join(kind.__name__ for kind in _KNOWN[name])}"
            )
    options = {
        name.replace("_", "-"): _option_value(path, name, value) for name, value in found.get("sbatch", {}).items()
    }
    return Site(
        sbatch={name: value for name, value in options.items() if value != ""},
        modules=tuple(map(str, found.get("modules", ()))),
        setup=found.get("setup"),
        query_seconds=float(found.get("query_seconds", QUERY_SECONDS)),
    )


def _option_value(path: Path, name: str, value: Any) -> str | None:
    """Return the value of an option of sbatch: None for one without a value, "" for one that is off."""
    if isinstance(value, bool):
        return None if value else ""
    if isinstance(value, str | int):
        return str(value)
    raise HpcmlError(
        f"{path}: [sbatch] {name} = {value!r} is no text, number or true: write it as on the command line"
    )
