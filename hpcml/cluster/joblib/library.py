"""The door to joblib: each part of its internals that is used here is looked at before its first use."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import joblib
from joblib import parallel as joblib_parallel

from hpcml.cluster.calls import Item
from hpcml.cluster.joblib.expected_length import expected_length
from hpcml.errors import HpcmlError

__all__ = ["calls_in_batch", "check_parts", "load", "number_of_calls", "replace_default"]

OLDEST = "1.6"
NEXT = "1.7"  # the first version that no test of hpcml has run on

USED: dict[str, tuple[str, ...]] = {
    "backends": ("AutoBatchingMixin", "FallbackToBackend", "SequentialBackend"),
    "backends.AutoBatchingMixin": ("MIN_IDEAL_BATCH_DURATION", "batch_completed", "compute_batch_size",
                                   "reset_batch_stats"),
    "parallel": ("DEFAULT_BACKEND", "ParallelBackendBase"),
    "parallel.ParallelBackendBase": ("get_nested_backend", "retrieve_result_callback", "start_call", "submit"),
}  # fmt: skip
"""Parts of joblib that the backend's class is made of; see `load` for the names."""


def _missing(part: str) -> HpcmlError:
    return HpcmlError(
        f"joblib {joblib.__version__} has no {part}: hpcml works with joblib >= {OLDEST}, < {NEXT}. "
        f"Type `pip install 'joblib>={OLDEST},<{NEXT}'`"
    )


def check_parts(library: Any) -> None:
    """Raise HpcmlError where `library` lacks a part that is in `USED`."""
    for path, names in USED.items():
        part = library
        for step in path.split("."):
            part = getattr(part, step)
        for name in names:
            if not hasattr(part, name):
                raise _missing(f"{path}.{name}")


def load() -> Any:
    """Return joblib's modules by short names: ``parallel``, and ``backends`` for ``joblib._parallel_backends``.

    Raises
    ------
    HpcmlError
        This version of joblib lacks a part that the backend is made of.
    """
    try:
        from joblib import _parallel_backends
    except ImportError:
        raise _missing("_parallel_backends") from None
    library = SimpleNamespace(parallel=joblib_parallel, backends=_parallel_backends)
    check_parts(library)
    return library


def replace_default(name: str, factory: Callable[..., Any]) -> Callable[[], None]:
    """Make `factory` joblib's default backend, under `name`; return the function that undoes this."""
    before = joblib_parallel.DEFAULT_BACKEND
    joblib.register_parallel_backend(name, factory, make_default=True)

    def _undo() -> None:
        joblib_parallel.DEFAULT_BACKEND = before

    return _undo


def calls_in_batch(batch: Any) -> list[Item]:
    """Return the calls of a batch that joblib submits: functions, each with its arguments.

    Raises
    ------
    HpcmlError
        In this version of joblib a batch does not list them.
    """
    try:
        calls: list[Item] = batch.items
    except AttributeError:
        raise _missing("parallel.BatchedCalls.items") from None
    return calls


def number_of_calls(parallel: Any) -> int | None:
    """Return how many calls a Parallel will make, None if unknown; it has taken none of its iterator yet.

    Raises
    ------
    HpcmlError
        In this version of joblib a Parallel lacks an attribute that says so.
    """
    for name in ("n_tasks", "_original_iterator"):
        if not hasattr(parallel, name):
            raise _missing(f"parallel.Parallel.{name}")
    return parallel.n_tasks or expected_length(parallel._original_iterator)
