"""The Cluster as joblib's default backend, in a program of `hpcml run`."""

import os
from collections.abc import Callable

from hpcml.cluster.current import forget_clusters
from hpcml.cluster.joblib.backend import HpcmlBackend
from hpcml.cluster.joblib.library import replace_default

__all__ = ["DefaultBackend", "make_default"]


class DefaultBackend(HpcmlBackend):
    """The backend of a program that names none: without ``n_jobs`` a Parallel runs in the driver, as with loky."""

    default_n_jobs = 1


def make_default() -> None:
    """Have all threads of this process use the Cluster where a program names no backend of its own.

    It replaces joblib's default and is no setting: a program that prefers threads, or requires shared memory, has
    threads. A forked child has joblib's own default again, for the threads of the Cluster are in its parent.
    """
    undo = replace_default("hpcml-default", DefaultBackend)
    os.register_at_fork(after_in_child=lambda: _forget(undo))


def _forget(undo: Callable[[], None]) -> None:
    undo()
    forget_clusters()
