"""Worker in a forked process: loads the script as a module, and executes tasks."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from hpcml.engines.nodes.curve import KeyPair, secured
from hpcml.engines.scoop.broker import SLOT_KEY
from hpcml.engines.scoop.library import load
from hpcml.engines.scoop.message_types import PoolSettings
from hpcml.engines.scoop.patches import patch, patch_worker
from hpcml.errors import EngineError

__all__ = ["configure", "load_script", "run_worker"]

MODULE = "SCOOP_WORKER"  # SCOOP's name for the script on workers


def configure(library: Any, pool: PoolSettings, *, origin: bool, place: tuple[str, int] | None = None) -> None:
    """Set the constants of SCOOP that its own launcher would set.

    Parameters
    ----------
    place
        The node and slot of a worker.
    """
    scoop = library.scoop
    scoop.IS_RUNNING = True
    scoop.IS_ORIGIN = origin
    scoop.SIZE = pool["size"]
    scoop.MAIN_MODULE = pool["script"]
    scoop.WORKING_DIRECTORY = pool["directory"]
    scoop.BROKER = library.structs.BrokerInfo(pool["address"], *pool["ports"], pool["address"])
    scoop.CONFIGURATION = {"headless": False, "backend": "ZMQ"}
    if place is not None:
        scoop.CONFIGURATION[SLOT_KEY] = place


class _Unavailable:
    """Placeholder of SCOOP's state while a worker loads the script, whose main part no worker may run."""

    def __getattr__(self, name: str) -> Any:
        raise EngineError(
            "the script uses SCOOP while a worker loads it: every worker would run all of it. Put what only the "
            'script itself should do below `if __name__ == "__main__":`'
        )


def load_script(library: Any, path: str) -> None:
    """Load the script as a module, which is ``__main__`` for tasks as well."""
    module = ModuleType(MODULE)
    module.__file__ = path
    sys.modules[MODULE] = sys.modules["__main__"] = module
    control = library.control
    futures = library.futures
    control.current = control.execQueue = futures._controller = _Unavailable()
    exec(compile(Path(path).read_bytes(), path, "exec", dont_inherit=True), vars(module))
    control.current = control.execQueue = futures._controller = None


def run_worker(pool: PoolSettings, node: str, slot: int, keys: KeyPair) -> None:
    """Execute tasks until the pool ends."""
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
