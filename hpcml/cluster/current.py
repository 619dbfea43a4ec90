"""Open Clusters of this process: joblib and programs of SCOOP use the one that was opened last."""

import threading
from typing import TYPE_CHECKING, Any

from hpcml.errors import HpcmlError

if TYPE_CHECKING:
    from hpcml.cluster.cluster import Cluster
    from hpcml.cluster.options import Options
    from hpcml.cluster.session import Session
    from hpcml.cluster.workforce import Workforce

__all__ = [
    "current_cluster",
    "forget_clusters",
    "ipyparallel_workers",
    "note_closed",
    "note_opened",
    "set_shared_session",
    "shared_session",
]

_open: list["Cluster"] = []  # the innermost comes last
_shared: "Session | None" = None  # of `hpcml run`: Clusters that the script opens join it
_lock = threading.Lock()  # protects _open: Clusters may be opened in several threads


def note_opened(cluster: "Cluster") -> None:
    """Make `cluster` the current one."""
    with _lock:
        _open.append(cluster)


def note_closed(cluster: object) -> None:
    """Undo `note_opened`; harmless when the Cluster is not open."""
    with _lock:
        _open[:] = [opened for opened in _open if opened is not cluster]


def forget_clusters() -> None:
    """Forget all open Clusters, in a forked child: their threads are in its parent."""
    _open.clear()


def current_cluster(asked: str = "a Cluster was asked for") -> "Cluster":
    """Return the Cluster that was opened last.

    Raises
    ------
    HpcmlError
        No Cluster is open; the message begins with `asked`.
    """
    with _lock:
        if _open:
            return _open[-1]
    raise HpcmlError(
        f"{asked}, but no Cluster is open. Write\n\n"
        "    with hpcml.Cluster():\n"
        "        ...  # code that uses joblib, scikit-learn or hpcml.scoop_programs\n\n"
        "around it, or start the script with `hpcml run script.py`."
    )


def ipyparallel_workers(cluster: "Workforce") -> Any:
    """Return the workers of a Cluster with engine ipyparallel: these have a client, and connections for others.

    Raises
    ------
    HpcmlError
        The Cluster has another engine.
    """
    workers = cluster._session.workers
    if not hasattr(workers, "connection"):
        raise HpcmlError(
            f"engine {cluster._session.engine!r} has no client of ipyparallel: open "
            'Cluster(engine="ipyparallel"), or type `hpcml run --engine ipyparallel script.py`'
        )
    return workers


def set_shared_session(session: "Session") -> None:
    """Make `session` the one that later Clusters join; see `shared_session`."""
    global _shared  # noqa: PLW0603  one program, one shared session
    _shared = session


def shared_session(options: "Options") -> "Session | None":
    """Return the session of `hpcml run` if it has all that `options` ask for, else None."""
    return _shared if _shared is not None and _shared.matches(options) else None
