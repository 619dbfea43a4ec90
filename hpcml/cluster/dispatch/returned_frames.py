"""Frames that come back from the workers: outcomes are recorded and resolve futures, lost tasks wait again."""

import time
from collections.abc import Callable

from hpcml.cluster.dispatch.frames import Frame, Group, Task
from hpcml.cluster.dispatch.futures import resolve
from hpcml.cluster.dispatch.limits import Limits
from hpcml.cluster.dispatch.queue import TaskQueue
from hpcml.cluster.dispatch.retries import decide_retries, finished_part, resolve_outcome, send_data_again
from hpcml.data.envelope import TaskObserver
from hpcml.data.outcomes import Outcome, pack_again, unpack_outcomes
from hpcml.errors import DataMissing, WorkerDied

__all__ = ["ReturnedFrames"]


class ReturnedFrames:
    """Second half of the dispatcher: takes each frame that comes back.

    Parameters
    ----------
    waiting
        Queue for the tasks that run again.
    fail_all
        Fails all tasks of the dispatcher; called with the error when an outcome cannot be recorded.
    observer, limits, restore, retries
        See `hpcml.cluster.dispatch.dispatcher.Dispatcher`.
    """

    def __init__(
        self,
        waiting: TaskQueue,
        observer: TaskObserver,
        limits: Limits,
        *,
        restore: Callable[[str, float], None],
        retries: int,
        fail_all: Callable[[BaseException], None],
    ) -> None:
        self._waiting = waiting
        self._observer = observer
        self._limits = limits
        self._restore = restore
        self._retries = retries
        self._fail_all = fail_all

    def finish(self, frame: Frame, outcomes: bytes) -> None:
        """Record the outcomes of a frame and resolve the futures of its tasks."""
        for task, (packed, outcome) in zip(frame.tasks, unpack_outcomes(outcomes), strict=True):
            self._finish_task(task, outcome, packed, frame.group)

    def _finish_task(self, task: Task, outcome: Outcome, packed: bytes | memoryview, group: Group) -> None:
        if task.call.keys and outcome.value is None:
            outcome = outcome._replace(value=[])
        if isinstance(outcome.error, DataMissing) and task.data_sent_again < self._retries:
            if outcome.value:  # the part of a chunk that has ended is not run again
                before = outcome._replace(error=None)
                self._finish_task(task, before, pack_again(before), group)
            elif send_data_again(task, outcome.error, self._restore):
                self._waiting.add_again([task])
            return
        ended = finished_part(task.call, outcome)
        self._waiting.add_sample(task, group, outcome.seconds / ended.length, outcome.worker)
        try:
            self._observer.finished(ended, outcome, packed)
        except Exception as error:
            resolve(task.future, error=error)
            self._fail_all(error)
        self._waiting.add_again(resolve_outcome(task, outcome))

    def retry(self, frame: Frame, death: WorkerDied) -> None:
        """Put the tasks of a worker that died back in front; a death counts only for tasks that had begun."""
        if death.started and not frame.overdue:
            self._observer.died(death, [task.call for task in frame.tasks])
        for task, error in reversed(decide_retries(frame, death, self._retries, self._limits.timeout_error)):
            if error is None:
                self._waiting.add(task, first=True)
            else:
                self._observer.failed(task.call, error, death.worker, time.monotonic() - frame.sent)
                resolve(task.future, error=error)
