"""The driver's queue: which tasks travel together, when, and what follows when they come back.

::

    caller threads ──submit──┐                             ┌── engine.submit(frame) ──> workers
    joblib callbacks ────────┤──> inbox ──> dispatcher ────┤
    engine threads ──done────┘   (queue)     (thread)      └── Future.set_result ──> callers, callbacks

Only the dispatcher thread touches the waiting queue, the frames in flight and the measured times, so
nothing here needs a lock. Futures are resolved in that thread too: callbacks must be short, and may submit.
"""

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any, TypeVar

from hpcml.errors import DataMissing, TaskError, WorkerDied, closed
from hpcml.frames import (
    Frame,
    FutureLike,
    Group,
    Task,
    blame,
    frame_size,
    resolve_all,
    send_data_again,
    settle,
)
from hpcml.task import Call, Outcome, pack_frame, unpack_outcomes
from hpcml.workers import Workers

__all__ = ["Dispatcher"]


BLOCK = 256  # tasks that go through the inbox at once
BURST_SECONDS = 0.005
PREFETCH_SECONDS = 0.5  # a frame that waits behind one longer than this would be faster elsewhere

log = logging.getLogger("hpcml")
FutureT = TypeVar("FutureT", bound=FutureLike)


class Dispatcher:
    """Carries calls to the workers of an engine and their outcomes back.

    Parameters
    ----------
    workers
        What an engine yielded.
    restore
        Sends data anew that a worker did not find: called with its digest and the time when the task was sent.
    retries
        A task is run again after its worker died, until `retries` workers have died under it.
    on_outcome
        Called in the dispatcher thread with each call and its outcome, before the call's future resolves.
    """

    def __init__(
        self,
        workers: Workers,
        restore: Callable[[str, float], None],
        retries: int = 3,
        on_outcome: Callable[[Call, Outcome], None] = lambda *_: None,
    ) -> None:
        self._workers, self._restore = workers, restore
        self._retries, self._on_outcome = retries, on_outcome
        self._inbox: queue.SimpleQueue[tuple[Callable[..., None], Any] | None] = queue.SimpleQueue()
        self._groups: dict[str, Group] = {}
        self._ready: dict[str, Group] = {}  # the groups in which something waits
        self._in_flight: dict[Future[bytes], Frame] = {}
        self._seconds: dict[str, float] = {}  # what a task of a name took, in groups that are gone
        self._broken: BaseException | None = None
        self._closed = False
        self._idle_waiters: list[threading.Event] = []
        workers.on_change = self._wake
        workers.on_broken = self.break_down
        self._thread = threading.Thread(target=self._loop, name="hpcml-dispatcher", daemon=True)
        self._thread.start()

    def submit(self, calls: Iterable[Call | BaseException], new_future: Callable[[], FutureT]) -> list[FutureT]:
        """Queue `calls` and return the futures that `new_future` made for them, in order.

        Their callbacks run in the dispatcher thread, never within this method. An exception in place of a
        call becomes what its future raises.
        """
        if self._closed:
            raise closed()
        futures: list[FutureT] = []
        block: list[Task | tuple[FutureLike, BaseException]] = []
        try:
            for call in calls:
                future = new_future()
                block.append((future, call) if isinstance(call, BaseException) else Task(call, future))
                futures.append(future)
                if len(block) >= BLOCK:
                    self._inbox.put((self._enqueue, block))
                    block = []
                    time.sleep(0)  # gives the interpreter to the threads that feed the workers
        except BaseException:  # the caller gets no futures: nothing of this may run
            self.abandon(futures)
            raise
        self._inbox.put((self._enqueue, block))
        return futures

    def abandon(self, futures: Iterable[FutureLike]) -> None:
        """Give up `futures`: what waits is cancelled, what runs is interrupted and its worker freed."""
        self._inbox.put((self._give_up, set(futures)))

    def break_down(self, error: BaseException) -> None:
        """Fail all that waits, and all that is submitted from now on, with `error`."""
        self._inbox.put((self._fail_all, error))

    def close(self, wait: bool = True, timeout: float | None = None) -> None:
        """End the dispatcher: with `wait` after the last task, at most `timeout` seconds from now."""
        self._closed = True
        if wait and not self.is_this_thread():
            idle = threading.Event()
            self._inbox.put((self._idle_waiters.append, idle))
            idle.wait(timeout)
        self._inbox.put((self._fail_all, RuntimeError("the Cluster was shut down before this task ended")))
        self._inbox.put(None)
        if not self.is_this_thread():
            self._thread.join(10)

    def is_this_thread(self) -> bool:
        """Tell whether the caller is a callback of a future."""
        return threading.current_thread() is self._thread

    def _loop(self) -> None:
        pumped = 0.0
        while (order := self._inbox.get()) is not None:
            act, subject = order
            try:
                act(subject)
            except Exception as error:  # a defect of ours; nobody must wait for ever because of it
                log.exception("the dispatcher failed")
                self._fail_all(error)
            # A burst of submissions is framed together, but must not keep the workers waiting.
            if self._inbox.empty() or time.monotonic() > pumped + BURST_SECONDS:
                self._pump()
                self._tell_idle()
                pumped = time.monotonic()

    def _wake(self) -> None:
        self._inbox.put((lambda _: None, None))

    def _tell_idle(self) -> None:
        if not self._ready and not self._in_flight:
            while self._idle_waiters:
                self._idle_waiters.pop().set()

    def _enqueue(self, block: list[Task | tuple[FutureLike, BaseException]]) -> None:
        for item in block:
            if isinstance(item, tuple):
                settle(item[0], error=item[1])
            elif self._broken is None:
                self._group(item).waiting.append(item)
            else:
                resolve_all([item], self._broken)

    def _group(self, task: Task) -> Group:
        """Return the group of a task that is about to wait in it."""
        group = self._groups.get(task.call.group)
        if group is None:
            group = self._groups[task.call.group] = Group(seconds=self._seconds.get(task.call.name))
        return self._ready.setdefault(task.call.group, group)

    def _pump(self) -> None:
        """Send frames while there is something to send and credit to send it on, each group in turn."""
        sent = True
        while sent:
            sent = False
            for name, group in list(self._ready.items()):
                sent = self._pump_group(group) or sent
                if not group.waiting:
                    del self._ready[name]

    def _pump_group(self, group: Group) -> bool:
        """Send one frame of `group`, if there is credit for it; True when one was sent."""
        slots = self._workers.ready
        width = group.waiting[0].call.width or slots
        size = frame_size(group.seconds, len(group.waiting), min(width, slots))
        prefetch = width >= slots and group.seconds is not None and size * group.seconds < PREFETCH_SECONDS
        if group.frames >= width and not prefetch:
            return False
        if len(self._in_flight) >= (2 * slots if prefetch else slots):
            return False
        tasks = group.take(size)
        if tasks:
            self._send(tasks, group)
        return bool(tasks)

    def _send(self, tasks: list[Task], group: Group) -> None:
        try:
            future = self._workers.submit(pack_frame([task.call for task in tasks]))
        except Exception as error:
            resolve_all(tasks, error)
            return
        self._in_flight[future] = Frame(tasks, group)
        group.frames += 1
        future.add_done_callback(lambda done: self._inbox.put((self._receive, done)))

    def _receive(self, future: "Future[bytes]") -> None:
        frame = self._in_flight.pop(future, None)
        if frame is None:
            return
        frame.group.frames -= 1
        if not frame.group.frames and not frame.group.waiting:
            self._groups.pop(frame.tasks[0].call.group, None)
        error = future.exception()
        if frame.abandoned:
            resolve_all(frame.tasks, TaskError("this task was interrupted because its call was abandoned"))
        elif isinstance(error, WorkerDied):
            self._run_again(frame.tasks, error)
        elif error is not None:
            resolve_all(frame.tasks, error)
        else:
            for task, outcome in zip(frame.tasks, unpack_outcomes(future.result()), strict=True):
                self._finish(task, outcome, frame.group)

    def _finish(self, task: Task, outcome: Outcome, group: Group) -> None:
        if isinstance(outcome.error, DataMissing) and task.data_sent_again < self._retries:
            if send_data_again(task, outcome.error, self._restore):
                self._group(task).waiting.appendleft(task)
            return
        group.note(outcome.seconds)
        if task.call.group.startswith(task.call.name):  # joblib's batches tell nothing of the next call's
            self._seconds[task.call.name] = group.seconds or 0.0
        try:
            self._on_outcome(task.call, outcome)
        except Exception as error:  # a closed pipe, a character that the terminal lacks: not the task's fault
            log.debug("the display failed: %r", error)
        settle(task.future, outcome.value, outcome.error)

    def _run_again(self, tasks: list[Task], death: WorkerDied) -> None:
        """Put tasks whose worker died back in front; those it had not begun are not blamed."""
        for task in reversed(tasks):
            if not blame(task, death, self._retries):
                self._group(task).waiting.appendleft(task)

    def _give_up(self, futures: set[FutureLike]) -> None:
        for group in self._ready.values():
            given_up = [task for task in group.waiting if task.future in futures]
            group.waiting = deque(task for task in group.waiting if task.future not in futures)
            resolve_all(given_up, TaskError("this task was abandoned before it started"))
        self._ready = {name: group for name, group in self._ready.items() if group.waiting}
        for sent, frame in list(self._in_flight.items()):
            if all(task.future in futures for task in frame.tasks):
                frame.abandoned = True
                self._workers.interrupt(sent)

    def _fail_all(self, error: BaseException) -> None:
        self._broken = self._broken or error
        for group in self._ready.values():
            resolve_all(group.waiting, error)
            group.waiting.clear()
        self._ready.clear()
        for frame in self._in_flight.values():
            resolve_all(frame.tasks, error)
        self._in_flight.clear()
