"""Plain ipyparallel within one allocation: `ipcontroller` in the job, `srun ipengine`, and their defaults.

Against the defaults stand only what it needs to work here: the controller's address, and a longer time for
engines to register in (5 s is too short when dozens of them share a few cores).
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import ipyparallel
from joblib import parallel_config
from step import START_TIMEOUT, own_address, running, wait_for

WORKER = "ipyparallel.engine"


class Pool:
    def __init__(self, client: ipyparallel.Client) -> None:
        self.client = client
        self.view = client.load_balanced_view()
        client[:].use_cloudpickle()

    def each(self, function: Callable[[int], Any]) -> list[Any]:
        return self.client[:].apply_sync(function, 0)

    def map(self, function: Callable[[Any], Any], values: Sequence[Any]) -> list[Any]:
        return self.view.map_sync(function, values)

    def joblib(self, *_: Any) -> AbstractContextManager[Any]:
        self.view.register_joblib_backend("plain-ipyparallel")
        return parallel_config("plain-ipyparallel")


@contextmanager
def open_pool(slots: int, bare: bool = False) -> Iterator[Pool]:
    """Open `slots` engines on the nodes of this allocation."""
    profile = Path("ipyparallel-profile").absolute()
    files = [profile / "security" / f"ipcontroller-{who}.json" for who in ("engine", "client")]
    python = [sys.executable, "-m"]
    controller = [*python, "ipyparallel.controller", f"--profile-dir={profile}", f"--ip={own_address()}"]
    engine = [*python, WORKER, f"--profile-dir={profile}", "--IPEngine.timeout=60"]
    with running(controller):
        wait_for("the controller's files", lambda: all(file.exists() for file in files))
        with running(["srun", f"--ntasks={slots}", *engine]), ipyparallel.Client(str(files[1])) as client:
            client.wait_for_engines(slots, timeout=START_TIMEOUT, interactive=False)
            yield Pool(client)
