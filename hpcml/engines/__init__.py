"""The engines: each carries frames to workers by one foreign system, in a module of its own.

An engine module has one public function, ``start(plan)``: a context manager that yields
`hpcml.dispatch.Workers`, ready, and leaves no process, step, socket or file behind.
"""

import importlib
import importlib.util
import sys
from contextlib import AbstractContextManager
from typing import cast

from hpcml.dispatch import Workers
from hpcml.errors import EngineError
from hpcml.plan import Plan

__all__ = ["LIBRARIES", "start"]

LIBRARIES = {"local": "loky", "ipyparallel": "ipyparallel"}  # engine: the foreign library it stands on


def start(name: str, plan: Plan) -> AbstractContextManager[Workers]:
    """Return the context manager that starts engine `name`.

    Raises
    ------
    EngineError
        No such engine, or its library is not installed.
    """
    if name not in LIBRARIES:
        raise EngineError(f"there is no engine {name!r}: choose one of {', '.join(LIBRARIES)}, or 'auto'")
    library = LIBRARIES[name]
    if importlib.util.find_spec(library) is None:
        raise EngineError(
            f"engine {name!r} needs the library {library}, which {sys.executable} does not have: "
            f"type `{sys.executable} -m pip install {library}`"
        )
    module = importlib.import_module(f"hpcml.engines.{name}")
    return cast(AbstractContextManager[Workers], module.start(plan))
