"""The joblib backend ``"hpcml"``: joblib's calls, and so scikit-learn's, on the Cluster that is open.

The backend does not depend on the engine: it submits batches to the Cluster (`Batches`) and returns their results.
Its methods are those of joblib 1.6, `joblib.parallel.ParallelBackendBase`.
"""

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from hpcml.cluster.current import current_cluster
from hpcml.cluster.joblib.batches import CLUSTER_LIMIT, batches_of
from hpcml.cluster.joblib.library import calls_in_batch, load, number_of_calls
from hpcml.data.envelope import WithJoblibSettings
from hpcml.data.preparation import preparation_of
from hpcml.engines.worker import current_worker
from hpcml.errors import HpcmlError

__all__ = ["HpcmlBackend"]

_joblib = load()
_AutoBatchingMixin: Any = _joblib.backends.AutoBatchingMixin
_ParallelBackendBase: Any = _joblib.parallel.ParallelBackendBase

INITIALIZER = ("initializer", "initargs")  # joblib's settings for `hpcml.data.preparation`
NEEDS_CLUSTER = "joblib was asked for the backend 'hpcml'"
DEFAULT_MAX_NBYTES = 1 << 20  # joblib's "1M": the user has set none, and the Cluster's own limit holds


class HpcmlBackend(_AutoBatchingMixin, _ParallelBackendBase):  # type: ignore[misc]  # joblib has no types
    """Runs the batches of ``joblib.Parallel`` on the Cluster that is open; see the module.

    Examples
    --------
    >>> import hpcml, math
    >>> from joblib import Parallel, delayed
    >>> with hpcml.Cluster(engine="local", slots_per_node=2, progress=False):
    ...     Parallel(n_jobs=-1, backend="hpcml")(delayed(math.sqrt)(n) for n in (1, 4, 9))
    [1.0, 2.0, 3.0]
    """

    supports_retrieve_callback = True
    supports_inner_max_num_threads = True
    supports_sharedmem = False
    uses_threads = False
    default_n_jobs = -1
    # A batch's measured time includes a message of about 5 ms each way and its wait behind another batch.
    MIN_IDEAL_BATCH_DURATION = 0.5

    def __init__(
        self,
        nesting_level: int | None = None,
        inner_max_num_threads: int | None = None,
        **backend_kwargs: Any,
    ) -> None:
        super().__init__(
            nesting_level=nesting_level or 0, inner_max_num_threads=inner_max_num_threads, **backend_kwargs
        )
        self._futures: set[Future[Any]] = set()
        self._call = ""
        self._width = 1
        self._max_nbytes: int | None = CLUSTER_LIMIT
        self._private = False
        self._announced = False

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """Return how many tasks run at once for joblib's `n_jobs`: -1 for all slots, -2 for all but one."""
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning: use n_jobs=-1 for all slots")
        if n_jobs is None or current_worker() is not None:
            return 1
        slots = current_cluster(NEEDS_CLUSTER).slots
        return max(slots + 1 + n_jobs, 1) if n_jobs < 0 else min(n_jobs, slots)

    def configure(
        self,
        n_jobs: int = 1,
        parallel: Any = None,
        max_nbytes: int | None = DEFAULT_MAX_NBYTES,
        mmap_mode: str | None = "r",
        **settings: Any,
    ) -> int:
        """Prepare for the calls of `parallel`; with one job they run in this process."""
        if mmap_mode not in ("r", "c", None):
            raise ValueError(
                f"mmap_mode={mmap_mode!r}: tasks on several nodes cannot write to one array. Use 'r' (read-only), "
                "'c' (each task may write to a copy of its own) or None (arrays are sent with each task)"
            )
        self._max_nbytes = CLUSTER_LIMIT if max_nbytes == DEFAULT_MAX_NBYTES else max_nbytes
        if mmap_mode is None:
            self._max_nbytes = None
        self._private = mmap_mode == "c"
        self._width = self.effective_n_jobs(n_jobs)
        if self._width == 1:
            in_driver = _joblib.backends.SequentialBackend(nesting_level=self.nesting_level)
            raise _joblib.backends.FallbackToBackend(in_driver)
        self.parallel = parallel
        self._prepare(**{name: {**self.backend_kwargs, **settings}.get(name) for name in INITIALIZER})
        # For the whole call, also if another Cluster is opened meanwhile.
        self._batches = batches_of(current_cluster(NEEDS_CLUSTER))
        return self._width

    def _prepare(self, initializer: Callable[..., Any] | None, initargs: tuple[Any, ...] | None) -> None:
        """Note the function that workers call before their first task of this Parallel."""
        self._prepared = None if initializer is None else (initializer, tuple(initargs or ()))
        self._preparation = None if self._prepared is None else preparation_of(*self._prepared)

    def start_call(self) -> None:
        """Begin one call of Parallel: its batches form one group."""
        self._call = f"joblib-{uuid.uuid4().hex}"
        self._futures = set()
        self._announced = False
        backend, n_jobs = self.get_nested_backend()
        threads = self.inner_max_num_threads
        first = self._preparation
        self._calls = self._batches.open_call(
            self._max_nbytes,
            self._private,
            lambda function: WithJoblibSettings(function, backend, n_jobs, threads, first),
        )
        self._calls.prepared = self._prepared

    def compute_batch_size(self) -> int:
        """Return how many tasks joblib should put in the next batch."""
        if not self._announced:  # the first call: nothing is taken from the iterator yet
            self._announced = True
            self._batches.begin_call(self._call, number_of_calls(self.parallel))
        return int(super().compute_batch_size())

    def submit(self, func: Any, callback: "Callable[[Future[Any]], object]") -> "Future[Any]":
        """Queue a batch; never raise, for joblib would wait for ever (a bad batch fails its future)."""
        try:
            calls = calls_in_batch(func)
            future = self._batches.submit_batch(calls, self._call, self._width, self._calls, callback)
        except (HpcmlError, RuntimeError) as error:
            future = _failed(error, callback)
        self._futures.add(future)
        future.add_done_callback(self._futures.discard)
        return future

    def retrieve_result_callback(self, out: "Future[Any]") -> Any:
        """Return the results of a batch, or raise the exception of its task."""
        return out.result()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Drop the waiting tasks of this call, and interrupt its running ones, which frees their workers."""
        futures = self._futures
        self._futures = set()
        if futures:
            self._batches.abandon(futures)

    def terminate(self) -> None:
        """End the call; its workers go on, they belong to the Cluster."""
        self.reset_batch_stats()


def _failed(error: BaseException, callback: "Callable[[Future[Any]], object]") -> "Future[Any]":
    """Return a future that fails with `error`, its callback in another thread: joblib holds a lock here."""
    future: Future[Any] = Future()
    future.add_done_callback(callback)
    threading.Thread(target=future.set_exception, args=(error,), daemon=True).start()
    return future
