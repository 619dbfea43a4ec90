"""joblib's backend of a program that names ipyparallel's: backend ``"hpcml"``, as wide as the program's view."""

from collections.abc import Mapping
from typing import Any

from hpcml.cluster.ipyparallel.clients import is_of_open_cluster
from hpcml.cluster.joblib.backend import HpcmlBackend

__all__ = ["IPythonParallelBackend", "new_backend"]


class IPythonParallelBackend(HpcmlBackend):
    """Runs joblib's batches on the open Cluster; at most as many at once as a view has engines.

    Parameters
    ----------
    view
        View of ipyparallel; None for the whole Cluster.
    """

    def __init__(self, view: Any = None, **settings: Any) -> None:
        super().__init__(**settings)
        self._view = view

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """Return how many tasks run at once; see `HpcmlBackend.effective_n_jobs`."""
        wanted = super().effective_n_jobs(n_jobs)
        return wanted if self._view is None else max(min(wanted, len(self._view)), 1)


def new_backend(view: Any, settings: Mapping[str, Any]) -> IPythonParallelBackend | None:
    """Return the backend for a view of the open Cluster, or for none; None for a view of another controller."""
    if view is None or is_of_open_cluster(view.client):
        return IPythonParallelBackend(view, **settings)
    return None
