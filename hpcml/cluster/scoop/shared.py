"""``scoop.shared``: constants that the driver sets once and that tasks read.

Each task brings along the constants that were set before it was submitted: large ones are on its node once, small
ones are sent with it. What a task changes in one, no other task sees.
"""

# ruff: noqa: N802  the names are SCOOP's

import threading
import weakref
from collections.abc import Mapping
from typing import Any

from hpcml.cluster.current import current_cluster
from hpcml.cluster.scoop.task_context import arrived, in_driver
from hpcml.data.broadcast import Broadcast
from hpcml.errors import HpcmlError

__all__ = ["constants_for", "forget", "getConst", "setConst"]

_set: dict[str, Any] = {}
_handles: "weakref.WeakKeyDictionary[Any, dict[str, Broadcast]]" = weakref.WeakKeyDictionary()  # by Cluster
_changed = threading.Condition()  # protects both


def setConst(**kwargs: Any) -> None:
    """Set constants, each under its name, for the tasks that are submitted from now on.

    Raises
    ------
    TypeError
        There is a constant of that name already; none is then set.
    HpcmlError
        It was called in a task.
    """
    names = ", ".join(sorted(kwargs))
    if not in_driver():
        raise HpcmlError(
            f"setConst({names}=…) was called in a task: other workers would not hear of it. Set constants in the "
            "script itself before the tasks that need them, or return the value from the task."
        )
    cluster = current_cluster()
    with _changed:
        known = sorted(set(kwargs) & set(_set))
        if known:
            raise TypeError(f"This constant already exists: {', '.join(known)}. Constants are set once.")
        _set.update(kwargs)
        try:
            _put(cluster)
        except BaseException:  # it cannot be sent, or has no room on a node
            for name in kwargs:
                del _set[name]
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
            _changed.wait_for(lambda: name in _set, None if timeout == float("inf") else timeout)
            return _set.get(name)
    handle = arrived().get(name)
    if handle is None and timeout == float("inf"):
        raise HpcmlError(
            f"getConst({name!r}, timeout=inf) in a task: that constant was not set before the task was submitted, "
            f"and will not come. Call setConst({name}=…) in the script first."
        )
    return None if handle is None else handle.value


def constants_for(cluster: Any) -> Mapping[str, Broadcast]:
    """Return the handles of all constants on the nodes of `cluster`, by name."""
    if not _set:
        return {}
    with _changed:
        return dict(_put(cluster))


def _put(cluster: Any) -> dict[str, Broadcast]:
    handles = _handles.setdefault(cluster, {})
    for name, value in _set.items():
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
        _set.clear()
