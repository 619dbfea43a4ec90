"""Ranks of MPI that the user has started: rank 0 has the Cluster, and the others are its workers.

::

    rank 0      frame ──────────────────> rank
    rank        outcomes ───────────────> rank 0
    rank 0      END ────────────────────> all          the task that runs is interrupted
    rank        END ────────────────────> rank 0       in no task any more
    rank 0      END, generation: FREE ──> all          the communicator is freed by all, or by none

The packets have a communicator of their own. MPI ends all ranks where one dies; Open MPI 5 with ``mpirun --with-ft
ulfm`` does not, and then the others go on.
"""

import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hpcml.data.staging.directories import DataDirectories
from hpcml.data.staging.file_system import LocalStaging
from hpcml.data.staging.files import candidate_directories
from hpcml.engines.interface import Workers
from hpcml.engines.mpi.exchange import Exchange
from hpcml.engines.mpi.rank_thread import end_mpi
from hpcml.engines.mpi.rank_workers import RankWorkers
from hpcml.engines.mpi.serving import serve
from hpcml.engines.plan import Plan
from hpcml.engines.worker import Worker
from hpcml.errors import EngineError
from hpcml.slurm.nodes import Node

__all__ = ["OwnRanks", "finalize", "join_ranks", "world"]

REMOVER = "import shutil, sys; sys.stdin.read(); [shutil.rmtree(path, True) for path in sys.argv[1:]]"


class OwnRanks:
    """The other ranks of a communicator, on rank 0.

    Parameters
    ----------
    given
        The user's communicator, which is ``comm``.
    own
        A copy, which is used for nothing else.
    hosts
        Host of each rank, rank 0's first.
    """

    def __init__(self, mpi: Any, given: Any, own: Any, hosts: Sequence[str]) -> None:
        self.comm = given
        self._comm = own
        self._hosts = hosts
        self._exchange = Exchange(mpi, own, lives_on=True)
        self._workers = RankWorkers(self._exchange, [_worker_of(rank, hosts) for rank in range(1, own.size)])
        self._is_open = True

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The hosts, with a slot for each rank but rank 0."""
        return tuple(Node(host, slots) for host, slots in Counter(self._hosts[1:]).items())

    @property
    def is_on_one_host(self) -> bool:
        """Return whether all ranks are on this computer."""
        return len(set(self._hosts)) == 1

    @contextmanager
    def start(self, plan: Plan) -> Iterator[Workers]:
        """Yield the other ranks as workers, as an engine does; at the end their service ends."""
        try:
            with _data_directories(plan, self.is_on_one_host) as staging:
                self._workers.staging = staging
                yield self._workers
        finally:
            self.close()

    def close(self) -> None:
        """End the service of the other ranks."""
        if self._is_open:
            self._is_open = False
            if self._workers.end_service():
                self._exchange.stop_receiving()
                self._comm.Free()


@contextmanager
def _data_directories(plan: Plan, is_on_one_host: bool) -> Iterator[LocalStaging]:
    """Yield the staging in a directory that all ranks see: without one, data is sent with each task."""
    places: tuple[str, ...] = ()
    if plan.data_dir is not None:
        places = (str(plan.data_dir),)
    elif is_on_one_host:
        places = candidate_directories(plan.environment)
    directories = DataDirectories(plan.data_name, places)
    try:
        with _removed_after_a_kill(directories.paths):
            yield LocalStaging(tuple(directories.paths), directories.renew)
    finally:
        directories.close()


@contextmanager
def _removed_after_a_kill(paths: Sequence[str]) -> Iterator[None]:
    """Have a process remove directories when this one ends: mpirun kills all ranks when one of them has died."""
    remover = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", REMOVER, *paths],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # mpirun ends the group of a rank
    )
    try:
        yield
    finally:
        remover.communicate()


def _worker_of(rank: int, hosts: Sequence[str]) -> Worker:
    """Return the worker that a rank is: slots count from 0 on each host, without rank 0."""
    return Worker(hosts[rank], hosts[1:rank].count(hosts[rank]))


def join_ranks(comm: Any) -> OwnRanks | None:
    """Join the ranks of a communicator, all of which call this: rank 0 gets the others.

    On each other rank, tasks of rank 0 are run until its Cluster is closed; then None is returned.

    Raises
    ------
    EngineError
        `comm` is no communicator of mpi4py, MPI runs without threads, or fails.
    """
    from mpi4py import MPI

    if not isinstance(comm, MPI.Intracomm):
        raise EngineError(f"Cluster(comm={comm!r}): it must be a communicator of mpi4py, such as MPI.COMM_WORLD")
    if MPI.Query_thread() < MPI.THREAD_SERIALIZED:
        raise EngineError(
            "MPI was started for one thread only, and a Cluster on its ranks calls MPI in a thread of its own: "
            'leave mpi4py.rc.thread_level at "multiple", its default, and take an MPI library that allows that'
        )
    own = comm.Dup()
    hosts = own.allgather(socket.gethostname())
    if own.rank == 0:
        return OwnRanks(MPI, comm, own, hosts)
    serve(MPI, own, _worker_of(own.rank, hosts))
    return None


def world(size: int) -> Any:
    """Return the communicator of all ranks that mpirun has started.

    Raises
    ------
    EngineError
        MPI has another number of ranks than its variables say.
    """
    from mpi4py import MPI

    if MPI.COMM_WORLD.size != size:
        raise EngineError(
            f"mpirun has started this {size} times, and {MPI.get_vendor()[0]}, which mpi4py has loaded, sees "
            f"{MPI.COMM_WORLD.size} rank: use the mpirun of that library, or install mpi4py for yours"
        )
    return MPI.COMM_WORLD


def finalize() -> None:
    """End MPI on a rank whose program ends here."""
    end_mpi()
