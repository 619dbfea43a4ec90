"""Single call of a job: runs on an open Cluster over the job's allocation, and is repeated after a requeue.

::

    USR2, before the time limit ─┬─ fn.checkpoint(…) ─> the call that follows ─> requeue
                                 ├─ tasks of the Cluster are recorded ─> it stops: OutOfTime ─> requeue
                                 └─ neither ─> the call goes on to the end of its time

A checkpoint is as in submitit: ``fn.checkpoint(*args)`` returns an object with ``function``, ``args``, ``kwargs``.
"""

import contextlib
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from functools import partial
from types import FrameType
from typing import Any, NoReturn

from hpcml.cluster.cluster import Cluster
from hpcml.cluster.current import set_shared_session
from hpcml.cluster.joblib.default import make_default
from hpcml.cluster.jobs.folder import JobFolder, data_directory
from hpcml.cluster.jobs.packing import load_call, pack_call
from hpcml.cluster.options import Options
from hpcml.cluster.scoop.import_path import finish, serve
from hpcml.cluster.session import Session
from hpcml.data.loading import loads_arguments
from hpcml.data.outcomes import Execution, pack_outcome
from hpcml.data.process_state import adopt_script_state
from hpcml.engines.chunk_runner import Function
from hpcml.errors import CommandError, JobFailed, OutOfTime
from hpcml.slurm.job_ids import own_job
from hpcml.slurm.queries import requeue_job

__all__ = ["JobEndSignals", "run_call"]

log = logging.getLogger("hpcml")

MARGIN_SECONDS = 3.0  # before the end of the time for tasks, at which a job is requeued that has not ended
UNKNOWN_SECONDS = 60.0  # from the signal to that end, where Slurm does not say


def run_call(folder: JobFolder, environment: Mapping[str, str]) -> int:
    """Run the call in `folder`, write its outcome, and return the exit status of the job."""
    if folder.read("outcome") is not None:  # Slurm has started the job again after its end
        return 0
    started, tick = time.time(), time.perf_counter()
    value: Any = None
    error: BaseException | None = None
    trace = ""
    try:
        value = _call(folder, environment)
    except _Stopped:  # Slurm knows why, or starts the job again
        return os.EX_TEMPFAIL
    except BaseException as raised:
        trace = traceback.format_exc()
        error = _to_send(raised)
    execution = Execution(started, time.perf_counter() - tick, 0, trace)
    folder.write("outcome", pack_outcome(value, error, execution, sys.maxsize))
    if error is not None:
        print(trace, end="", file=sys.stderr, flush=True)
    return 0 if error is None else 1


def _to_send(raised: BaseException) -> BaseException:
    """Return the error of a call as its driver gets it: one that would end the driver is a JobFailed there."""
    if isinstance(raised, Exception):
        return raised
    what = f"sys.exit({raised.code!r})" if isinstance(raised, SystemExit) else repr(raised)
    reason = f"its function has ended with {what}"
    return JobFailed(f"the job has no result: {reason}", "FAILED", reason)


def _call(folder: JobFolder, environment: Mapping[str, str]) -> Any:
    serve()
    call = load_call(folder.read("call") or b"")
    refusal = adopt_script_state(call.state)
    if refusal is not None:
        raise refusal
    function = Function(call.function)
    args, _ = loads_arguments(call.arguments, function)
    with _open_cluster(folder, environment) as session:
        end = JobEndSignals(folder, session, partial(function.called, *args), call.state, environment)
        try:
            value = function.called(*args)
            finish()
            return value
        except OutOfTime:
            end.stop()
        finally:
            end.close()


@contextlib.contextmanager
def _open_cluster(folder: JobFolder, environment: Mapping[str, str]) -> Iterator[Session]:
    """Open the Cluster of this job, as `hpcml run` does; its run is resumed where the job was requeued."""
    is_repeated = "SLURM_RESTART_COUNT" in environment
    options = Options(resume=is_repeated)
    session = Session(options, [str(folder.path)], wait=None)
    cluster = Cluster._from_session(session, options.max_nbytes)
    set_shared_session(session)
    make_default()
    try:
        yield session
    except BaseException:
        cluster.shutdown(cancel_futures=True)
        raise
    cluster.shutdown()


class _Stopped(BaseException):
    """The function is left without an outcome: the job ends, and may be back in the queue."""


class JobEndSignals:
    """Signals near the end of a job: a checkpoint, or the end of the Cluster's tasks, and the requeue.

    Parameters
    ----------
    call
        The function with its arguments.
    state
        The packed state of the script, for the call that follows.
    """

    def __init__(
        self,
        folder: JobFolder,
        session: Session,
        call: "partial[Any]",
        state: bytes,
        environment: Mapping[str, str],
    ) -> None:
        self._folder = folder
        self._session = session
        self._call = call
        self._state = state
        self._environment = environment
        self._timer: threading.Timer | None = None
        self._is_ended = False  # by Slurm, which sends SIGTERM
        self._is_requeued = False
        self._requeuing = threading.Lock()  # protects _is_requeued: the timer is a thread
        # The handlers of the session stop its tasks.
        self._end_tasks = signal.signal(signal.SIGTERM, self._note_end)
        self._stop_tasks = signal.signal(signal.SIGUSR2, self._handle)

    def _note_end(self, number: int, frame: FrameType | None) -> None:
        self._is_ended = True
        if callable(self._end_tasks):
            self._end_tasks(number, frame)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self._may_requeue():
            log.warning("the time is nearly over, and the job is not put back in the queue")
            return
        checkpoint = getattr(self._call.func, "__submitit_checkpoint__", None)
        checkpoint = checkpoint or getattr(self._call.func, "checkpoint", None)
        if checkpoint is not None:
            following = checkpoint(*self._call.args)
            if following is None:
                log.warning("checkpoint() has returned None: the job is not put back in the queue")
                return
            self._write(following)
            self._requeue()
            raise _Stopped
        if self._session.ended_tasks and callable(self._stop_tasks):
            left = self._session.job_end.deadline.left() or UNKNOWN_SECONDS
            # The function may never ask for a result of the tasks that do not start.
            self._timer = threading.Timer(max(left - MARGIN_SECONDS, left / 2, 0.0), self._requeue)
            self._timer.daemon = True
            self._timer.start()
            self._stop_tasks(number, frame)

    def _may_requeue(self) -> bool:
        most = int(self._folder.read("max-requeues") or b"0")
        return "SLURM_JOB_ID" in self._environment and not self._is_ended and self._requeues < most

    @property
    def _requeues(self) -> int:
        return len(list(self._folder.path.glob("requeued-*")))

    def _write(self, following: Any) -> None:
        """Write the call that follows, which has function, args and kwargs."""
        function = partial(following.function, **following.kwargs) if following.kwargs else following.function
        data = data_directory(self._folder.path.parent)
        self._folder.write("call", pack_call(function, following.args, data, self._state))

    def _requeue(self) -> None:
        with self._requeuing:
            if self._is_requeued:
                return
            self._is_requeued = True
        self._folder.write(f"requeued-{self._requeues + 1}", b"")
        try:
            requeue_job(own_job(self._environment), self._environment)
        except CommandError as error:
            log.error("the job cannot be requeued: %s", error)

    def stop(self) -> NoReturn:
        """Leave the function, whose tasks were stopped; requeue the job where its run has made progress.

        Raises
        ------
        JobFailed
            The job is not put back in the queue.
        """
        self._session.close(wait=True)  # tasks that run have until the time of the stop
        self.close()
        if self._may_requeue() and self._session.ended_tasks:
            self._requeue()
        if self._is_requeued or self._is_ended:
            raise _Stopped
        reason = f"its time was over, after {self._requeues} requeues: ask for more with --time"
        raise JobFailed(f"the job has no result: {reason}", "TIMEOUT", reason)

    def close(self) -> None:
        """Forget the signal before the end: the function has returned."""
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        if self._timer is not None:
            self._timer.cancel()
