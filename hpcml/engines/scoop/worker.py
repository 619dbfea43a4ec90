"""Worker in a forked process: it loads the script as a module, and executes tasks."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from hpcml.engines.scoop.broker import PLACE
from hpcml.engines.scoop.curve import KeyPair, secured
from hpcml.engines.scoop.library import load
from hpcml.engines.scoop.patches import patch, patch_worker
from hpcml.errors import EngineError

__all__ = ["configure", "load_script", "run_worker"]

MODULE = "SCOOP_WORKER"  # SCOOP's name for the script on workers


def configure(library: Any, pool: dict[str, Any], *, origin: bool, place: tuple[str, int] | None = None) -> None:
    """Set what SCOOP's own launcher would set.

    Parameters
    ----------
    pool
        ``{"address": …, "ports": [tasks, news], "size": …, "script": …, "args": […], "directory": …}``
    place
        The node and slot of a worker.
    """
    scoop, address = library.scoop, pool["address"]
    scoop.IS_RUNNING, scoop.IS_ORIGIN, scoop.SIZE = True, origin, pool["size"]
    scoop.MAIN_MODULE, scoop.WORKING_DIRECTORY = pool["script"], pool["directory"]
    scoop.BROKER = library.structs.BrokerInfo(address, *pool["ports"], address)
    scoop.CONFIGURATION = {"headless": False, "backend": "ZMQ"}
    if place is not None:
        scoop.CONFIGURATION[PLACE] = place


class _NotYet:
    """Stands for SCOOP's state while a worker loads the script: what is done then would be done by each."""

    def __getattr__(self, name: str) -> Any:
        raise EngineError(
            "the script uses SCOOP while a worker loads it: every worker would run all of it. Put what only the "
            'script itself should do below `if __name__ == "__main__":`'
        )


def load_script(library: Any, path: str) -> None:
    """Load the script as a module, which tasks find as ``__main__`` as well."""
    module = ModuleType(MODULE)
    module.__file__ = path
    sys.modules[MODULE] = sys.modules["__main__"] = module
    control, futures = library.control, library.futures
    control.current = control.execQueue = futures._controller = _NotYet()
    exec(compile(Path(path).read_bytes(), path, "exec", dont_inherit=True), vars(module))
    control.current = control.execQueue = futures._controller = None


def run_worker(pool: dict[str, Any], node: str, slot: int, keys: KeyPair) -> None:
    """Execute tasks until the pool ends; see `configure` for `pool`."""
    library = load()

    def own_address() -> str:
        """Return the address of this worker that SCOOP has just sent to its peers."""
        address: bytes = library.scoop.worker
        return address.decode().rpartition(":")[0]

    patch(library, secured(keys, own_address), f"{node}:{slot}")
    patch_worker(library)
    configure(library, pool, origin=False, place=(node, slot))
    sys.argv = [pool["script"], *pool["args"]]
    sys.path.insert(0, str(Path(pool["script"]).parent))
    load_script(library, pool["script"])
    library.futures._startup(None)
