"""Engines: each sends frames to workers by one foreign system, in a module of its own.

An engine module has one public function, ``start(plan)``: a context manager that yields
`hpcml.engines.interface.Workers`, ready, and leaves no process, step, socket or file behind.
"""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, cast

from hpcml.engines.libraries import check_encryption, check_parts, missing_library, warn_of_old_encryption
from hpcml.errors import EngineError

if TYPE_CHECKING:
    from hpcml.engines.interface import Workers
    from hpcml.engines.plan import Plan

__all__ = ["LIBRARIES", "Starter", "import_library", "load"]

Starter = Callable[["Plan"], AbstractContextManager["Workers"]]
LIBRARIES = {"local": "loky", "ipyparallel": "ipyparallel"}  # engine: its foreign library


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
    hpcml.errors.EngineError: there is no engine 'spark': choose one of local, ipyparallel, or 'auto'
    """
    if name == "scoop":
        raise EngineError(
            "engine 'scoop' runs scripts that use scoop.futures, and has no Cluster: type "
            "`hpcml run --engine scoop script.py`"
        )
    if name not in LIBRARIES:
        raise EngineError(f"there is no engine {name!r}: choose one of {', '.join(LIBRARIES)}, or 'auto'")
    library = LIBRARIES[name]
    if importlib.util.find_spec(library) is None:
        raise missing_library(name, library, f"{sys.executable} -m pip install {library}")
    if name == "ipyparallel":
        check_encryption(name)
        warn_of_old_encryption()
    else:
        check_parts("loky")
    return cast(Starter, importlib.import_module(f"hpcml.engines.{name}").start)


def import_library(name: str) -> None:
    """Import all modules that the driver needs of an engine; slow, so called while the workers start."""
    if name == "ipyparallel":
        check_parts("ipyparallel.client")
        importlib.import_module("hpcml.engines.ipyparallel.workers")
