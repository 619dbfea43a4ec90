"""Limits on tasks: run time of each, time left in the job, size of a result."""

import math
import time
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Future

from hpcml.cluster.dispatch.frames import Frame, Task
from hpcml.cluster.dispatch.queue import TaskQueue
from hpcml.errors import OutOfTime, TaskTimeout, WorkerDied

__all__ = ["Limits"]

MAX_RESULT_NBYTES = 1 << 30


class Limits:
    """Limits of one Cluster: the dispatcher asks which tasks are overdue, and whether the time is up.

    Parameters
    ----------
    task_timeout
        Seconds that one task may run; None: no limit.
    seconds_left
        Returns the seconds that are left for tasks; None: the job has no known end.
    max_result_nbytes
        The most bytes that a task may return, pickled.
    """

    def __init__(
        self,
        task_timeout: float | None,
        seconds_left: Callable[[], float | None],
        max_result_nbytes: int = MAX_RESULT_NBYTES,
    ) -> None:
        self.task_timeout = task_timeout
        self.seconds_left = seconds_left
        self.max_result_nbytes = max_result_nbytes
        self._stopping: BaseException | None = None
        self._until = 0.0

    @property
    def is_stopping(self) -> bool:
        """True when no further task may start."""
        return self._stopping is not None

    @property
    def refuses_calls(self) -> bool:
        """True when calls that are submitted now will not run."""
        left = self.seconds_left()
        return self.is_stopping or (left is not None and left <= 0)

    def stop(self, error: BaseException, seconds: float) -> None:
        """Start no further task; tasks that have not ended after `seconds` fail with `error`.

        Of several such orders the one with the earliest end counts.
        """
        until = time.monotonic() + seconds
        if self._stopping is None or until < self._until:
            self._stopping = error
            self._until = until

    def needs_clock(self, waiting: TaskQueue, in_flight: Collection[object]) -> bool:
        """Return whether `mark_overdue` and `final_error` must be asked again soon."""
        if self.is_stopping or (self.task_timeout is not None and in_flight):
            return True
        return bool(waiting) and self.seconds_left() is not None

    def mark_overdue(self, frames: "Iterable[tuple[Future[bytes], Frame]]") -> "list[Future[bytes]]":
        """Mark the frames past their time limit; return their futures."""
        now = time.monotonic()
        limit = self.task_timeout or math.inf
        late = [(sent, frame) for sent, frame in frames if not frame.overdue and now > frame.sent + limit]
        for _, frame in late:
            frame.overdue = True
        return [sent for sent, _ in late]

    def final_error(self, waiting: TaskQueue, in_flight: Collection[object]) -> BaseException | None:
        """Return the error for all remaining tasks once the time is up, else None."""
        left = self.seconds_left()
        if left is not None and waiting and (left <= 0 or (not in_flight and not waiting.fits(left))):
            self.stop(_out_of_time(left), 0.0)
        if self.is_stopping and (not in_flight or time.monotonic() >= self._until):
            return self._stopping
        return None

    def timeout_error(self, task: Task, death: WorkerDied) -> TaskTimeout:
        """Return the error of a task that ran too long, whose worker was ended."""
        return TaskTimeout(
            f"{task.call.name} ran longer than task_timeout={self.task_timeout:g} s on {death.worker}, which was "
            "ended and is replaced"
        )


def _out_of_time(left: float) -> OutOfTime:
    return OutOfTime(
        f"the job's time is nearly over ({max(left, 0):.0f} s are left for tasks), and the waiting tasks would "
        "not end in it. All results so far are in the journal: go on with `hpcml run --resume`, or "
        "Cluster(resume=True)"
    )
