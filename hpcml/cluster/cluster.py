"""`Cluster`: a Slurm allocation, or this computer, as a `concurrent.futures.Executor`."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Self, cast

from hpcml.cluster.calls import Calls
from hpcml.cluster.collectives import Collectives
from hpcml.cluster.current import note_opened, shared_session
from hpcml.cluster.lifetime import Lifetime
from hpcml.cluster.map.map_call import MapCall
from hpcml.cluster.notebook.shown import Shown
from hpcml.cluster.options import Options
from hpcml.cluster.serial import SerialCluster
from hpcml.cluster.served import open_session
from hpcml.cluster.session import Session
from hpcml.cluster.workforce import Workforce
from hpcml.data.broadcast import Broadcast, broadcast
from hpcml.data.call_data import CallData
from hpcml.data.envelope import name_of
from hpcml.engines.worker import current_worker
from hpcml.errors import HpcmlError
from hpcml.journal.call_keys import content_key

__all__ = ["Cluster"]

_map_numbers = itertools.count()


class Cluster(Shown, Workforce, Collectives, Lifetime):
    """Workers on every slot of the Slurm allocation that this process is in; without Slurm, on this computer.

    A `concurrent.futures.Executor`. While it is open, joblib's backend ``"hpcml"`` uses it. Inside ``hpcml run``,
    a ``Cluster()`` that asks for no other engine or slots joins the one that is already open.

    Parameters
    ----------
    engine
        ``"ipyparallel"``, ``"mpi"`` (frames over MPI), ``"local"``, or ``"auto"``: in an allocation ipyparallel,
        above 256 slots mpi where that can start; else local. The line on standard error says which, and why.
    slots_per_node, cpus_per_slot
        Override Slurm's tasks per node and CPUs per task.
    max_slots
        Use no more slots than these, those of the first nodes.
    nodes, ntasks_per_node, cpus_per_task, time, partition, account
        Ask for nodes, as sbatch's options do. Where this process is in an allocation with so many, it uses those;
        else it submits jobs, which end with the Cluster, or within a minute of this process.
    sbatch
        More options of sbatch, such as ``{"constraint": "avx2", "exclusive": True}``.
    nodes_per_job
        Nodes of each job at most; by default one job has all. Jobs start, end and fail one by one.
    idle_timeout
        Seconds without tasks after which the jobs end. The next task has them submitted again.
    queue_timeout
        Seconds in which a job must start; by default the queue is waited for, and `timeout` counts from there.
    min_slots
        Start with so many workers when not all connect within `timeout`; by default all must.
    mpi
        Make the workers ranks of one MPI, for `comm_map` and for ``%%px``; with engine ipyparallel. A worker that
        ends, or is ended with its task, has all replaced within seconds; tasks that were running run again.
    timeout
        Seconds in which the workers must connect.
    retries
        A task whose worker died runs again, until it has ended so many workers.
    run_dir
        Where the directory of this run is made; by default ``.hpcml`` in the working directory.
    preload
        Modules that each node imports before it forks its workers; by default this process' numerical libraries.
    max_nbytes
        Arrays, frames and other content of more bytes than this are put on each node once, for all tasks, and
        are read-only there; None: they are sent with each task.
    data_dir
        A directory on a file system that all nodes share, for such data; by default that goes to each node's
        memory (``/dev/shm``), or where that is full to its temporary directory.
    stage_env
        Start the workers from a copy of the virtual environment on each node's own disk or memory.
    container, container_image
        Start workers in an image with hpcml and this release of Python, for Apptainer or for Slurm's pyxis.
    journal
        Record each task that ends, so that the run can be resumed and reported on. ``"required"``: when its file
        cannot be written, tasks fail; by default they run without a record.
    resume
        Continue the last run of this script with these arguments, if there is one; or that of a given directory.
    requeue
        Put the Slurm job back in the queue when its time is up before all tasks have ended. It implies
        ``resume=True``.
    task_timeout
        A task that runs longer than so many seconds fails with TaskTimeout, and its worker is replaced.
    max_result_nbytes
        The most bytes that one task may return, pickled: more is an error of that task.
    comm
        A communicator of mpi4py, all of whose ranks call this with the same arguments. Rank 0 goes on with a
        Cluster of which the others are the workers. These return when that is closed, and leave a ``with`` block
        at its first use of the Cluster; without a block, that use ends the rank like ``sys.exit()``. Prints of
        tasks are those of their ranks. A rank that dies ends all. ``comm`` itself stays free for other messages,
        where MPI allows calls of several threads (``THREAD_MULTIPLE``).
    progress
        Show a bar in a terminal or a notebook, or a line per tenth in a log, and a closing line.

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

    _max_nbytes: int | None

    def __init__(
        self,
        engine: str = "auto",
        *,
        slots_per_node: int | None = None,
        cpus_per_slot: int | None = None,
        max_slots: int | None = None,
        nodes: int | None = None,
        ntasks_per_node: int | None = None,
        cpus_per_task: int | None = None,
        time: str | int | None = None,
        partition: str | None = None,
        account: str | None = None,
        sbatch: Mapping[str, object] | None = None,
        nodes_per_job: int | None = None,
        idle_timeout: float | None = None,
        queue_timeout: float | None = None,
        min_slots: int | None = None,
        mpi: bool = False,
        timeout: float = 60.0,
        retries: int = 3,
        run_dir: str | Path | None = None,
        preload: Sequence[str] | None = None,
        max_nbytes: int | None = 1 << 20,
        data_dir: str | Path | None = None,
        stage_env: bool = False,
        container: str | None = None,
        container_image: str | None = None,
        journal: bool | str = True,
        resume: bool | str | Path = False,
        requeue: bool = False,
        task_timeout: float | None = None,
        max_result_nbytes: int = 1 << 30,
        comm: Any = None,
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
        session = cast(Session, joined or open_session(options))
        self._attach(session, joined is None, options.max_nbytes)

    @classmethod
    def _from_session(cls, session: Session, max_nbytes: int | None) -> Self:
        """Return a Cluster that owns `session`."""
        cluster = cls.__new__(cls)
        cluster._attach(session, True, max_nbytes)
        return cluster

    def _attach(self, session: Session, owns_session: bool, max_nbytes: int | None) -> None:
        self._session = session
        self._owns_session = owns_session
        self._max_nbytes = None if session.options.max_nbytes is None else max_nbytes
        self._closed = False
        self._at_shutdown: list[Callable[[bool], object]] = []
        note_opened(self)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """Queue ``fn(*args, **kwargs)`` and return its future.

        Raises
        ------
        TaskError
            `fn` or an argument cannot be pickled; the message names the object.
        DataError
            A node has no space for its data; the message names node, path and bytes.
        """
        group = self._session.interactive.group_of(name_of(fn))
        call = self._new_calls().make(fn, args, kwargs, group, sends=1)
        self._session.begin_call(group, name_of(fn), 1, grows=True)
        return self._session.dispatcher.submit([call], Future[Any])[0]

    def _map(
        self, fn: Callable[..., Any], iterables: Sequence[Iterable[Any]], timeout: float | None
    ) -> Iterator[Any]:
        calls = self._new_calls()
        group = f"{name_of(fn)} #{next(_map_numbers)}"
        mapping = MapCall(self._session.dispatcher, calls, fn, iterables, group)
        self._session.begin_call(group, name_of(fn), len(mapping))
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

    def __reduce__(self) -> tuple[type[SerialCluster], tuple[()]]:
        return SerialCluster, ()  # a task has only its own process
