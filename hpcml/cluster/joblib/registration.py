"""The name ``"hpcml"`` by which joblib finds the backend; the backend itself is imported with its first use."""

from typing import TYPE_CHECKING, Any

from hpcml.cluster.joblib.library import register

if TYPE_CHECKING:
    from hpcml.cluster.joblib.backend import HpcmlBackend

__all__ = ["register_backend"]


def register_backend() -> None:
    """Have joblib find the backend under the name ``"hpcml"``."""
    register("hpcml", _new_backend)


def _new_backend(**settings: Any) -> "HpcmlBackend":
    from hpcml.cluster.joblib.backend import HpcmlBackend

    return HpcmlBackend(**settings)
