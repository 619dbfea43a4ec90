"""Engines: each sends frames to workers by one foreign system, in a module of its own.

An engine module has one public function, ``start(plan)``: a context manager that yields
`hpcml.engines.interface.Workers`, ready, and leaves no process, step, socket or file behind.
"""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, cast

from hpcml.engines.libraries import check_encryption, check_parts, missing_library, warn_of_old_encryption
from hpcml.errors import EngineError

if TYPE_CHECKING:
    from hpcml.engines.interface import Workers
    from hpcml.engines.plan import Plan

__all__ = ["LIBRARIES", "Starter", "find_mpi", "import_library", "load", "own_ranks"]

Starter = Callable[["Plan"], AbstractContextManager["Workers"]]
LIBRARIES = {"local": "loky", "ipyparallel": "ipyparallel", "mpi": "mpi4py"}  # engine: its foreign library


def load(name: str) -> Starter:
    """Return the ``start`` of engine `name`.

    Raises
    ------
    EngineError
        There is no such engine; or its library is not installed, is of a version that cannot be used, or cannot
        exclude other users of the nodes.

    Examples
    --------
    >>> from hpcml import engines
    >>> engines.load("spark")
    Traceback (most recent call last):
    hpcml.errors.EngineError: there is no engine 'spark': choose one of local, ipyparallel, mpi, or 'auto'
    """
    if name == "scoop":
        raise EngineError(
            "engine 'scoop' runs scripts that use scoop.futures, and has no Cluster: type "
            "`hpcml run --engine scoop script.py`"
        )
    if name == "torch":
        raise EngineError(
            "engine 'torch' starts a script once for each slot, and has no Cluster: type "
            "`hpcml run --engine torch script.py`"
        )
    if name not in LIBRARIES:
        raise EngineError(f"there is no engine {name!r}: choose one of {', '.join(LIBRARIES)}, or 'auto'")
    library = LIBRARIES[name]
    if importlib.util.find_spec(library) is None:
        raise missing_library(name, library, f"{sys.executable} -m pip install {library}")
    if name == "local":
        check_parts("loky")
    else:
        check_encryption(name)
        warn_of_old_encryption()
    return cast(Starter, importlib.import_module(f"hpcml.engines.{name}").start)


def find_mpi(environment: Mapping[str, str]) -> str:
    """Return the MPI library of this computer, and Slurm's plugin for it, in words.

    Raises
    ------
    EngineError
        Engine mpi cannot start here: something is not installed, or Slurm has no plugin for the library.
    """
    load("mpi")
    found = importlib.import_module("hpcml.engines.nodes.mpi_plugin").find_mpi(environment)
    return f"{found.library} by {found.plugin}"


def own_ranks() -> Any:
    """Return the module for ranks of MPI that the user has started, `hpcml.engines.mpi.own_ranks`."""
    return importlib.import_module("hpcml.engines.mpi.own_ranks")


def import_library(name: str) -> None:
    """Import all modules that the driver needs of an engine; slow, so called while the workers start."""
    if name == "ipyparallel":
        check_parts("ipyparallel.client")
        importlib.import_module("hpcml.engines.ipyparallel.workers")
