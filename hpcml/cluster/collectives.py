"""Collectives of a Cluster: functions that run on all workers at once, as ranks of one MPI."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any, NoReturn

from hpcml.cluster.calls import Calls
from hpcml.cluster.session import Session
from hpcml.data.envelope import Call, name_of, pack_frame
from hpcml.data.outcomes import Outcome, unpack_outcomes
from hpcml.engines.communicator import run_on_rank
from hpcml.engines.worker import Worker
from hpcml.errors import EngineError, HpcmlError, WorkerDied

__all__ = ["Collectives", "RankComm"]

GRACE_SECONDS = 2.0  # from the first exception, for the other ranks to end by themselves
PAUSE_SECONDS = 0.01  # between two looks whether all ranks are there

Sent = Sequence[tuple[Worker, "Future[bytes]"]]
"""The workers in the order of ranks, each with the future of its outcomes."""


class RankComm:
    """The ranks of MPI that the workers of a Cluster are, as `Cluster.comm` returns them.

    The script is none of them. Functions get the communicator of their rank as their first argument.

    Parameters
    ----------
    size
        The number of ranks.
    map
        `Cluster.comm_map`.

    Examples
    --------
    >>> from hpcml.cluster.collectives import RankComm
    >>> RankComm(6, print)
    <6 ranks of MPI: cluster.comm_map(fn) returns fn(comm) of each>
    """

    def __init__(self, size: int, map: Callable[..., list[Any]]) -> None:
        self.size = size
        self.map = map

    def __reduce__(self) -> NoReturn:
        raise TypeError("cluster.comm stays in the script: a function of comm_map gets a communicator as argument")

    def __repr__(self) -> str:
        return f"<{self.size} ranks of MPI: cluster.comm_map(fn) returns fn(comm) of each>"


class Collectives(ABC):
    """The part of `hpcml.Cluster` that is about workers as ranks of MPI."""

    _session: Session

    @abstractmethod
    def _new_calls(self) -> Calls:
        """Return the maker of a call's messages."""

    @property
    def comm(self) -> Any:
        """The ranks that the workers are: their number, ``size``, and ``map``, which is `comm_map`.

        Of ``Cluster(comm=…)`` it is that communicator of mpi4py.

        Raises
        ------
        HpcmlError
            The workers are no ranks.
        """
        given = self._session.options.comm
        if given is not None:
            return getattr(given, "comm", given)  # rank 0 has the ranks that have joined it, others what was given
        _ranks_of(self._session)
        return RankComm(self._session.workers.slots, self.comm_map)

    def comm_map(self, fn: Callable[..., Any], /, *args: Any, timeout: float | None = None) -> list[Any]:
        """Return ``fn(comm, *args)`` of all workers, in the order of ranks; with ``Cluster(mpi=True)``.

        All run it at once, each with its communicator of mpi4py, which is the same from call to call. Arguments
        are sent as those of `submit` are. Nothing is recorded: a resumed run calls `fn` again.

        An exception on one rank is raised here, with its own type; its cause has the host and the traceback. Where
        the other ranks do not end by themselves within two seconds, because they wait for that rank, all workers
        are ended, and others take their place within seconds: what they had in memory is lost, and tasks that they
        were running run again. So it is after a rank that ends, Ctrl-C and `timeout`.

        Parameters
        ----------
        timeout
            Seconds in which all must return.

        Raises
        ------
        HpcmlError
            The workers are no ranks of MPI.
        WorkerDied
            The process of a rank has ended; the message names host and slot.
        TimeoutError
            A rank has not returned in time.

        Examples
        --------
        >>> import hpcml
        >>> with hpcml.Cluster(mpi=True, slots_per_node=3, progress=False) as cluster:  # doctest: +SKIP
        ...     cluster.comm_map(lambda comm: comm.allreduce(comm.rank))
        [3, 3, 3]
        """
        ranks = _ranks_of(self._session)
        deadline = None if timeout is None else time.monotonic() + timeout
        with ranks.turn:
            call = self._make_call(fn, args, ranks.comm_number)
            sent: Sent | None = None
            try:
                world, sent = self._send(call, ranks)
                return self._results(call, sent, deadline)
            except BaseException as error:
                ranks.comm_number += 1
                if sent and not all(future.done() and future.exception() is None for _, future in sent):
                    ranks.restart(f"{type(error).__name__} has ended a call of comm_map", world)
                raise

    def _make_call(self, fn: Callable[..., Any], args: Sequence[Any], number: int) -> Call:
        """Return the call of `fn` on each rank, with the communicator of a number."""
        slots = self._session.workers.slots
        call = self._new_calls().make(run_on_rank, (fn, number, args), {}, "", sends=slots)
        assert isinstance(call, Call)  # nothing is recorded
        return call._replace(name=name_of(fn), key="")

    def _send(self, call: Call, ranks: Any) -> tuple[int, Sent]:
        """Send a call to all ranks, when they are there; return these, and what names their world."""
        limit = self._session.options.max_result_nbytes
        frame = pack_frame([call], limit, self._session.running.script_state())
        until = time.monotonic() + self._session.options.timeout
        while (sent := ranks.submit(frame)) is None:
            if ranks.failure or time.monotonic() > until:
                late = f"the ranks of MPI are not there after {self._session.options.timeout:g} s"
                raise EngineError(ranks.failure or f"{late}; the logs are in {self._session.run_dir}")
            time.sleep(PAUSE_SECONDS)
        world, workers = sent
        return world, workers

    def _results(self, call: Call, sent: Sent, deadline: float | None) -> list[Any]:
        """Return the values of all ranks; raise the first error, after a while for the others to end."""
        ranks = {future: rank for rank, (_, future) in enumerate(sent)}
        values: dict[int, Any] = {}
        first: BaseException | None = None
        waiting = set(ranks)
        while waiting:
            left = None if deadline is None else max(deadline - time.monotonic(), 0)
            done, waiting = wait(waiting, left, FIRST_COMPLETED)
            for future in sorted(done, key=lambda future: (_is_bystander(future), ranks[future])):
                error = future.exception()
                if error is None:
                    outcome = self._take(call, future.result())
                    values[ranks[future]] = outcome.value
                    error = outcome.error
                if error is not None and first is None:
                    first = _with_rank(error, ranks[future], sent)
                    deadline = time.monotonic() + GRACE_SECONDS
            if isinstance(first, WorkerDied) or (not done and first is not None):
                break
            if not done:
                _raise_timeout(call, [sent[rank][0] for rank in sorted(ranks[future] for future in waiting)])
        if first is not None:
            raise first
        return [values[rank] for rank in range(len(sent))]

    def _take(self, call: Call, outcomes: bytes) -> Outcome:
        """Return the outcome of one rank, and have its last prints and warnings shown."""
        prints = self._session.dispatcher.prints
        ((packed, outcome),) = unpack_outcomes(outcomes)
        prints.call_in_thread(prints.end_frame, outcomes)
        finished = self._session.monitor.finished
        prints.call_in_thread(lambda content: finished(call, outcome, content), bytes(packed))
        return outcome


def _ranks_of(session: Session) -> Any:
    """Return the ranks that the workers of a session are; see `hpcml.engines.ipyparallel.ranks`."""
    ranks = getattr(session.workers, "ranks", None)
    if ranks is None:
        raise HpcmlError(
            f"the workers of this Cluster (engine {session.engine!r}) are no ranks of MPI: open "
            'Cluster(engine="ipyparallel", mpi=True), which needs mpi4py and an MPI: pip install \'hpcml[mpi]\''
        )
    return ranks


def _is_bystander(future: "Future[bytes]") -> bool:
    """Return whether a rank was ended because another one had ended."""
    error = future.exception()
    return isinstance(error, WorkerDied) and not error.started


def _with_rank(error: BaseException, rank: int, sent: Sent) -> BaseException:
    """Return an error with a note of its rank."""
    error.add_note(f"on rank {rank} of {len(sent)}, {sent[rank][0]}")
    return error


def _raise_timeout(call: Call, late: Sequence[Worker]) -> NoReturn:
    raise TimeoutError(f"{call.name} has not returned in time on {', '.join(map(str, late))}: its ranks are ended")
