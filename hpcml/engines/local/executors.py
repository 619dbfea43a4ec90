"""The end of loky's executors: those of a Cluster end with the Cluster."""

import contextlib
import threading

from loky import process_executor

__all__ = ["outlive_main"]


def outlive_main() -> None:
    """Have loky end these workers when their Cluster is closed, not when the main thread ends.

    loky registers its own end when an executor starts, unless it finds that done.
    """
    if process_executor.process_pool_executor_at_exit is None:
        process_executor.process_pool_executor_at_exit = _end_others
        with contextlib.suppress(RuntimeError):  # the main thread has ended
            threading._register_atexit(_end_others)  # type: ignore[attr-defined]


def _end_others() -> None:
    """Have executors of the script's own end as loky would: their threads are waited for next."""
    if any(not thread.daemon for thread in list(process_executor._threads_wakeups)):
        process_executor._python_exit()
