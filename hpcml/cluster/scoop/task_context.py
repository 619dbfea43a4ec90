"""Context of a SCOOP program's task: its constants, the number of slots, the name of its process."""

import os
from collections.abc import Callable, Mapping
from typing import Any

from hpcml.cluster.current import current_cluster
from hpcml.data.broadcast import Broadcast
from hpcml.data.envelope import name_of
from hpcml.engines.worker import current_worker

__all__ = ["WithConstants", "in_driver", "size", "task_constants", "worker"]

_task_constants: Mapping[str, Broadcast] = {}  # on a worker: of the running task
_size = 1  # on a worker: slots of the running task's Cluster


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
        self.__module__, _, self.__qualname__ = name_of(function).rpartition(".")  # for messages

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        global _task_constants, _size  # noqa: PLW0603  a worker runs one task at a time
        _task_constants = self.constants
        _size = self.slots
        try:
            return self.called(*args, **kwargs)
        finally:
            _task_constants = {}


def in_driver() -> bool:
    """Return whether this process runs the program itself, not one of its tasks."""
    return current_worker() is None


def task_constants() -> Mapping[str, Broadcast]:
    """Return the constants of the running task."""
    return _task_constants


def size() -> int:
    """Return how many tasks run at once, ``scoop.SIZE``."""
    return current_cluster().slots if in_driver() else _size


def worker() -> bytes:
    """Return the name of this process, ``scoop.worker``: of its slot, or of the driver."""
    return str(current_worker() or f"{os.uname().nodename}:driver").encode()
