"""``scoop.shared``: constants that the driver sets once and that tasks read.

A task has the constants that were set before it was submitted: large ones are on its node once, small ones are
sent with it. A change that a task makes to one is not seen by other tasks.
"""

# ruff: noqa: N802  the names are SCOOP's

import threading
import weakref
from collections.abc import Mapping
from typing import Any

from hpcml.cluster.cluster import Cluster
from hpcml.cluster.current import current_cluster
from hpcml.cluster.scoop.task_context import in_driver, task_constants
from hpcml.data.broadcast import Broadcast
from hpcml.errors import HpcmlError

__all__ = ["constants_for", "forget", "getConst", "setConst"]

_constants: dict[str, Any] = {}
_handles: "weakref.WeakKeyDictionary[Cluster, dict[str, Broadcast]]" = weakref.WeakKeyDictionary()  # by Cluster
_changed = threading.Condition()  # protects both


def setConst(**kwargs: Any) -> None:
    """Set constants, each under its name, for the tasks that are submitted from now on.

    Raises
    ------
    TypeError
        There is a constant of that name already; none is then set.
    HpcmlError
        It is called in a task.
    """
    names = ", ".join(sorted(kwargs))
    if not in_driver():
        raise HpcmlError(
            f"setConst({names}=…) was called in a task: other workers would not have it. Set constants in the "
            "script itself before the tasks that need them, or return the value from the task."
        )
    cluster = current_cluster()
    with _changed:
        known = sorted(set(kwargs) & set(_constants))
        if known:
            raise TypeError(f"This constant already exists: {', '.join(known)}. Constants are set once.")
        _constants.update(kwargs)
        try:
            _put(cluster)
        except BaseException:  # one cannot be sent, or a node has no space for it
            for name in kwargs:
                del _constants[name]
            raise
        _changed.notify_all()


def getConst(name: str, timeout: float = 0.1) -> Any:
    """Return the constant `name`; None where it is not set within `timeout` seconds.

    A task has its constants from the start, and never waits for others.

    Raises
    ------
    HpcmlError
        A task would wait without end.
    """
    if in_driver():
        with _changed:
            _changed.wait_for(lambda: name in _constants, None if timeout == float("inf") else timeout)
            return _constants.get(name)
    handle = task_constants().get(name)
    if handle is None and timeout == float("inf"):
        raise HpcmlError(
            f"getConst({name!r}, timeout=inf) in a task: that constant was not set before the task was submitted, "
            f"and will not come. Call setConst({name}=…) in the script first."
        )
    return None if handle is None else handle.value


def constants_for(cluster: Cluster) -> Mapping[str, Broadcast]:
    """Return the handles of all constants on the nodes of `cluster`, by name."""
    if not _constants:
        return {}
    with _changed:
        return dict(_put(cluster))


def _put(cluster: Cluster) -> dict[str, Broadcast]:
    handles = _handles.setdefault(cluster, {})
    for name, value in _constants.items():
        if name not in handles:
            handles[name] = cluster.broadcast(value)
    return handles


def forget() -> None:
    """Drop all constants, here and on the nodes."""
    with _changed:
        for handles in _handles.values():
            for handle in handles.values():
                handle.close()
        _handles.clear()
        _constants.clear()
