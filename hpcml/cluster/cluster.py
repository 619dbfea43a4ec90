"""`Cluster`: a Slurm allocation, or this computer, as a `concurrent.futures.Executor`."""

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hpcml.cluster.calls import Calls
from hpcml.cluster.current import note_closed, note_opened, shared_session
from hpcml.cluster.executor import ClusterExecutor
from hpcml.cluster.map.map_call import MapCall
from hpcml.cluster.options import Options
from hpcml.cluster.serial import SerialCluster
from hpcml.cluster.session import Session
from hpcml.data.broadcast import Broadcast, broadcast
from hpcml.data.call_data import CallData
from hpcml.data.envelope import name_of
from hpcml.engines.worker import current_worker
from hpcml.errors import HpcmlError, shut_down_error
from hpcml.journal.call_keys import content_key

__all__ = ["Cluster"]

_map_numbers = itertools.count()


class Cluster(ClusterExecutor):
    """Workers on every slot of the Slurm allocation that this process is in; without Slurm, on this computer.

    A `concurrent.futures.Executor`. While it is open, joblib's backend ``"hpcml"`` uses it. Inside ``hpcml run``,
    a ``Cluster()`` that asks for no other engine or slots joins the one that is already open.

    Parameters
    ----------
    engine
        The system that sends tasks to workers: ``"ipyparallel"``, ``"local"``, or ``"auto"``: ipyparallel in an
        allocation, else local.
    slots_per_node, cpus_per_slot
        Override Slurm's tasks per node and CPUs per task.
    min_slots
        Start with so many workers when not all have connected within `timeout`; by default all must.
    timeout
        Seconds in which the workers must connect.
    retries
        A task whose worker died is run again, until it has ended so many workers.
    run_dir
        Where the directory of this run is made; by default ``.hpcml`` in the working directory.
    preload
        Modules that each node imports before it forks its workers; by default the numerical libraries
        that this process has imported.
    max_nbytes
        Arrays, frames and other content of more bytes than this are put on each node once, for all tasks, and
        are read-only there; None: they are sent with each task.
    data_dir
        A directory on a file system that all nodes share, for such data; by default it goes to each node's
        memory (``/dev/shm``), or where that is full to its temporary directory.
    journal
        Record each task that ends, so that the run can be resumed and reported on. ``"required"``: when its file
        cannot be written, tasks fail; by default they run without a record.
    resume
        Continue the last run of this script with these arguments, or the run whose directory is given. With True,
        a new run begins where there is none to continue.
    requeue
        Put the Slurm job back in the queue when its time is up before all tasks have ended. It implies
        ``resume=True``.
    task_timeout
        A task that runs longer than so many seconds fails with TaskTimeout, and its worker is replaced.
    max_result_nbytes
        The most bytes that one task may return, pickled: more is an error of that task.
    progress
        Show a bar in a terminal, or a line per tenth in a log, and a closing line, on standard error.

    Raises
    ------
    AllocationError
        The ``SLURM_*`` variables contradict each other.
    EngineError
        The engine could not start; the message says which nodes failed, and why.
    RunInUse
        The run to be resumed is open in another process.

    Examples
    --------
    >>> import hpcml
    >>> with hpcml.Cluster(engine="local", slots_per_node=2, progress=False) as cluster:
    ...     list(cluster.map(pow, [2, 3, 4], [5, 2, 1]))
    [32, 9, 4]
    """

    _session: Session
    _max_nbytes: int | None

    def __init__(
        self,
        engine: str = "auto",
        *,
        slots_per_node: int | None = None,
        cpus_per_slot: int | None = None,
        min_slots: int | None = None,
        timeout: float = 60.0,
        retries: int = 3,
        run_dir: str | Path | None = None,
        preload: Sequence[str] | None = None,
        max_nbytes: int | None = 1 << 20,
        data_dir: str | Path | None = None,
        journal: bool | str = True,
        resume: bool | str | Path = False,
        requeue: bool = False,
        task_timeout: float | None = None,
        max_result_nbytes: int = 1 << 30,
        progress: bool = True,
    ) -> None:
        arguments = locals()  # the options, each by its name
        if current_worker() is not None:
            raise HpcmlError(
                f"this is a task on worker {current_worker()}: it cannot open a Cluster of its own. Open it in "
                "the driver and submit more tasks there; within a task, joblib's threads use the slot's CPUs."
            )
        options = Options.from_arguments(arguments)
        joined = shared_session(options)
        self._attach(joined or Session(options), joined is None, options.max_nbytes)

    @classmethod
    def _from_session(cls, session: Session, max_nbytes: int | None) -> Self:
        """Return a Cluster that owns `session`."""
        cluster = cls.__new__(cls)
        cluster._attach(session, True, max_nbytes)
        return cluster

    def _attach(self, session: Session, owns_session: bool, max_nbytes: int | None) -> None:
        self._session = session
        self._owns_session = owns_session
        self._max_nbytes = max_nbytes
        self._closed = False
        self._at_shutdown: list[Callable[[bool], object]] = []
        note_opened(self)

    @property
    def slots(self) -> int:
        """Number of tasks that run at once."""
        return self._session.workers.slots

    @property
    def hosts(self) -> tuple[str, ...]:
        """The nodes that have workers, in Slurm's order."""
        return self._session.workers.hosts

    @property
    def run_dir(self) -> Path:
        """The directory of this run: its journal, and logs."""
        return self._session.run_dir

    @property
    def client(self) -> Any:
        """The plain ipyparallel client, for views and magics; only with the ipyparallel engine."""
        client = getattr(self._session.workers, "client", None)
        if client is None:
            engine = self._session.engine
            raise HpcmlError(f'engine {engine!r} has no client: open Cluster(engine="ipyparallel")')
        return client

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """Queue ``fn(*args, **kwargs)`` and return its future.

        Raises
        ------
        TaskError
            `fn` or an argument cannot be pickled; the message names the object.
        DataError
            A node has no space for its data; the message names node, path and bytes.
        """
        call = self._new_calls().make(fn, args, kwargs, name_of(fn), sends=1)
        return self._session.dispatcher.submit([call], Future[Any])[0]

    def _map(
        self, fn: Callable[..., Any], iterables: Sequence[Iterable[Any]], timeout: float | None
    ) -> Iterator[Any]:
        calls = self._new_calls()
        group = f"{name_of(fn)} #{next(_map_numbers)}"
        mapping = MapCall(self._session.dispatcher, calls, fn, iterables, group)
        self._session.monitor.expect(group, len(mapping))
        mapping.submit(self.slots)
        return mapping.take(timeout)

    def broadcast(self, value: Any) -> Broadcast:
        """Put `value` on every node and return a handle, which is sent to tasks in its place.

        Raises
        ------
        DataError
            A node has no space for the value; the message names node, path and bytes.
        """
        self._check_open()
        key = "" if self._session.run_journal is None else content_key(value)
        return broadcast(value, self._session.store, key)

    def _new_calls(self) -> Calls:
        self._check_open()
        data = CallData(self._session.store, self._max_nbytes)
        return Calls(data, self._session.run_journal, at_once=True)

    def _check_open(self) -> None:
        if self._closed:
            raise shut_down_error()

    def _on_shutdown(self, callback: Callable[[bool], object]) -> None:
        """Have shutdown call ``callback(wait)`` before the workers end.

        With `wait` the callback returns when all that it has queued is submitted.
        """
        self._at_shutdown.append(callback)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the workers: after the last task, or at once with ``cancel_futures=True``.

        ``wait=False`` returns at once and ends them in the background, after the last task.
        """
        if self._closed:
            return
        self._closed = True
        note_closed(self)
        # A callback of a future may shut the Cluster down, and must not wait for its own thread.
        can_wait = not self._session.is_dispatching()
        while self._at_shutdown:
            self._at_shutdown.pop()(can_wait and wait and not cancel_futures)
        if not self._owns_session:
            return
        if (wait or cancel_futures) and can_wait:
            self._session.close(wait=not cancel_futures)
        else:
            threading.Thread(target=self._session.close, kwargs={"wait": not cancel_futures}).start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close: after the last task, or at once when an exception ends the ``with`` block."""
        self.shutdown(cancel_futures=kind is not None)

    def __enter__(self) -> Self:
        return self

    def __reduce__(self) -> tuple[type[SerialCluster], tuple[()]]:
        return SerialCluster, ()  # a task has only its own process
