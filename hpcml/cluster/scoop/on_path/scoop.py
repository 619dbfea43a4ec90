"""The module ``scoop`` of a program that `hpcml run` runs; see `hpcml.cluster.scoop`."""

import logging
import sys
from typing import Any

from hpcml.cluster.scoop import future, futures, shared, task_context

__all__ = ["CONFIGURATION", "DEBUG", "IS_ORIGIN", "IS_RUNNING", "MAIN_MODULE", "futures", "logger", "shared"]

# So that `import scoop.futures` finds them. They and their functions are pickled by the names that they have:
# on the worker another module may be called scoop.
sys.modules[f"{__name__}.futures"] = futures
sys.modules[f"{__name__}.shared"] = shared
sys.modules[f"{__name__}._types"] = future

IS_RUNNING = True
IS_ORIGIN = task_context.in_driver()
DEBUG = False
CONFIGURATION = {"headless": False, "backend": "hpcml"}
MAIN_MODULE = sys.argv[0] if IS_ORIGIN else None
logger = logging.getLogger("scoop")
__version__ = "0.7"
__revision__ = "2.0"


def __getattr__(name: str) -> Any:
    if name == "SIZE":
        return task_context.size()
    if name == "worker":
        return task_context.worker()
    raise AttributeError(
        f"module 'scoop' has no attribute {name!r} here: `hpcml run` serves a program scoop.futures, scoop.shared "
        f"and {', '.join(sorted((*__all__, 'SIZE', 'worker')))}, without SCOOP itself"
    )
