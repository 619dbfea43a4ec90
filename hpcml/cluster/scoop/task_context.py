"""Data that a task of a SCOOP program is sent with, and the place of this process."""

import os
from collections.abc import Callable, Mapping
from typing import Any

from hpcml.cluster.current import current_cluster
from hpcml.data.broadcast import Broadcast
from hpcml.data.envelope import name_of
from hpcml.engines.worker import current_worker

__all__ = ["WithConstants", "arrived", "in_driver", "size", "worker"]

_arrived: Mapping[str, Broadcast] = {}  # on a worker: the constants of the task that runs
_size = 1  # on a worker: the slots of the Cluster that the task is of


class WithConstants:
    """A function with the constants that were set when it was submitted.

    Parameters
    ----------
    slots
        The slots of its Cluster. Its results do not depend on them, and so its key does not.
    """

    __hpcml_key_ignores__ = ("slots",)  # see `hpcml.journal.kinds.KEY_IGNORES`

    def __init__(self, function: Callable[..., Any], constants: Mapping[str, Broadcast], slots: int) -> None:
        self.called = function
        self.constants = dict(constants)
        self.slots = slots
        self.__module__, _, self.__qualname__ = name_of(function).rpartition(".")  # what messages call it

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        global _arrived, _size  # noqa: PLW0603  a worker runs one task at a time
        _arrived, _size = self.constants, self.slots
        try:
            return self.called(*args, **kwargs)
        finally:
            _arrived = {}


def in_driver() -> bool:
    """Tell whether this process runs the program itself, not a task of it."""
    return current_worker() is None


def arrived() -> Mapping[str, Broadcast]:
    """Return the constants that the running task has brought along."""
    return _arrived


def size() -> int:
    """Return how many tasks run at once, ``scoop.SIZE``."""
    return int(current_cluster().slots) if in_driver() else _size


def worker() -> bytes:
    """Return the name of this process, ``scoop.worker``: of its slot, or of the driver."""
    return str(current_worker() or f"{os.uname().nodename}:driver").encode()
