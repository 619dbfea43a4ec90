"""Dispatcher: the driver's thread that queues tasks, sends them in frames, and resolves their futures.

::

    caller threads ──submit──┐                             ┌── engine.submit(frame) ──> workers
    joblib callbacks ────────┤──> inbox ──> dispatcher ────┤
    engine threads ──done────┘   (queue)     (thread)      └── Future.set_result ──> callers, callbacks

Only the dispatcher thread changes the waiting queue, the frames in flight and the measured times, so
nothing here needs a lock. Futures are resolved in that thread too: callbacks must be short, and may submit.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Set
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

from hpcml.cluster.dispatch.frames import Frame, Task, belongs_to_any, fail_all
from hpcml.cluster.dispatch.futures import FutureLike, resolve_recorded
from hpcml.cluster.dispatch.limits import Limits
from hpcml.cluster.dispatch.prints import Inbox, Prints
from hpcml.cluster.dispatch.queue import TaskQueue
from hpcml.cluster.dispatch.returned_frames import ReturnedFrames
from hpcml.cluster.dispatch.running import RunningTasks
from hpcml.data.envelope import Call, RecordedOutcome, TaskObserver
from hpcml.engines.interface import Workers
from hpcml.errors import OutOfTime, TaskError, WorkerDied, shut_down_error

__all__ = ["Dispatcher"]

INBOX_BLOCK_TASKS = 256  # put into the inbox as one order
BURST_SECONDS = 0.005  # a burst of submissions is framed together, but the workers wait no longer than this
CLOCK_INTERVAL_SECONDS = 0.2  # between two checks of the limits
log = logging.getLogger("hpcml")
FutureT = TypeVar("FutureT", bound=FutureLike)
Work = Call | RecordedOutcome | BaseException


class Dispatcher:
    """Sends calls to the workers of an engine, and resolves their futures with the outcomes.

    Parameters
    ----------
    workers
        The workers that an engine yielded.
    restore
        Sends data again that a worker did not find: called with its digest and the time when the task was sent.
    retries
        A task is run again after its worker died, until `retries` workers have died under it.
    observer
        Called with each outcome, death and print in the dispatcher thread, before futures are resolved.
    limits
        Limits on the tasks' time and results.
    script_state
        Returns the directory, environment and the like that the script has now, packed; tasks run with these.
    """

    def __init__(
        self,
        workers: Workers,
        restore: Callable[[str, float], None],
        observer: TaskObserver,
        limits: Limits,
        retries: int = 3,
        *,
        script_state: Callable[[], bytes] = bytes,
    ) -> None:
        self._workers = workers
        self._observer = observer
        self._limits = limits
        self._script_state = script_state
        self._inbox: Inbox = queue.SimpleQueue()
        self._waiting = TaskQueue(limits.task_timeout)
        self._returned = ReturnedFrames(
            self._waiting, observer, limits, restore=restore, retries=retries, fail_all=self._fail_all
        )
        self._in_flight: dict[Future[bytes], Frame] = {}
        self._running = RunningTasks(workers, observer, self._in_flight, self._fail_all)
        self._broken: BaseException | None = None
        self._closed = False
        self._idle_waiters: list[threading.Event] = []
        self.sent_nbytes, self.last_worker_loss = 0, 0.0  # the loss on the clock of time.monotonic
        self.prints = Prints(self._inbox, observer)
        workers.on_change = lambda: self._inbox.put((lambda _: None, None))
        workers.on_print = self.prints.put
        workers.on_broken = lambda error: self._inbox.put((self._fail_all, error))
        self._thread = threading.Thread(target=self._loop, name="hpcml-dispatcher", daemon=True)
        self._thread.start()

    def submit(self, calls: Iterable[Work], new_future: Callable[[], FutureT]) -> list[FutureT]:
        """Queue `calls` and return the futures that `new_future` made for them, in order.

        Their callbacks run in the dispatcher thread. A recorded outcome or an exception can take a call's place.
        """
        if self._closed:
            raise shut_down_error()
        futures: list[FutureT] = []
        state = self._script_state()
        block: list[Task | tuple[FutureLike, RecordedOutcome | BaseException]] = []
        try:
            for call in calls:
                future = new_future()
                block.append(Task(call, future, script_state=state) if isinstance(call, Call) else (future, call))
                futures.append(future)
                if len(block) >= INBOX_BLOCK_TASKS or (isinstance(call, Call) and call.length > 1):
                    self._inbox.put((self._enqueue, block))
                    block = []
                    time.sleep(0)  # gives the interpreter to the threads that feed the workers
        except BaseException:
            self.abandon(futures)  # the caller gets none of them: none of these calls may run
            raise
        self._inbox.put((self._enqueue, block))
        return futures

    def abandon(self, futures: Iterable[FutureLike]) -> None:
        """Give up `futures`: waiting tasks are cancelled, running ones are interrupted and free their workers."""
        self._inbox.put((self._abandon, partial(belongs_to_any, futures=set(futures))))

    def abandon_groups(self, groups: Set[str]) -> None:
        """Give up all tasks of `groups`, as `abandon` does."""
        self._inbox.put((self._abandon, lambda task: task.call.group in groups))

    def stop(self, error: BaseException, seconds: float = 0.0) -> None:
        """Start no further task; after the running ones, or after `seconds`, fail the rest with `error`."""
        self._limits.stop(error, seconds)
        self._inbox.put((self._check_limits, None))

    def close(self, wait: bool = True, timeout: float | None = None) -> None:
        """End the dispatcher: with `wait` after the last task, at most `timeout` seconds from now."""
        self._closed = True
        if wait and not self.is_this_thread():
            self._inbox.put((self._idle_waiters.append, idle := threading.Event()))
            idle.wait(timeout)
        self._inbox.put((self._fail_all, RuntimeError("the Cluster was shut down before this task ended")))
        self._inbox.put(None)
        if not self.is_this_thread():
            self._thread.join(10)

    def seconds(self, group: str, name: str = "") -> float | None:
        """Return the measured seconds per call of a group, or of a function; None if unknown."""
        return None if self._broken or self._limits.refuses_calls else self._waiting.seconds(group, name)

    def counts(self) -> tuple[int, int]:
        """Number of calls that are sent to workers, and that wait. Any thread may ask for it."""
        return sum(frame.calls for frame in list(self._in_flight.values())), self._waiting.calls

    @property
    def is_out_of_time(self) -> bool:
        """True after tasks have failed because there was no time for them."""
        return isinstance(self._broken, OutOfTime)

    def is_this_thread(self) -> bool:
        """Return whether the caller is a callback of a future."""
        return threading.current_thread() is self._thread

    def _loop(self) -> None:
        last_sent = 0.0
        while (order := self._next()) is not None:
            try:
                order[0](order[1])
            except Exception as error:  # a defect of hpcml: no caller may wait for ever because of it
                log.exception("the dispatcher failed")
                self._fail_all(error)
            del order  # it may hold a large result
            if self._inbox.empty() or time.monotonic() > last_sent + BURST_SECONDS:
                self._send_waiting()
                while self._idle_waiters and not self._waiting and not self._in_flight:
                    self._idle_waiters.pop().set()
                last_sent = time.monotonic()
                self._running.look(last_sent, self._waiting.calls, self._limits.seconds_left())

    def _next(self) -> tuple[Callable[..., None], Any] | None:
        """Return the next order; a check of the limits where no other order comes for a while."""
        is_timed = self._limits.needs_clock(self._waiting, self._in_flight)
        try:
            return self._inbox.get(timeout=CLOCK_INTERVAL_SECONDS if is_timed else self._running.pause)
        except queue.Empty:
            return self._check_limits, None

    def _check_limits(self, _: None = None) -> None:
        """Check the limits: interrupt overdue frames; fail all tasks when the time is up."""
        self._interrupt(self._limits.mark_overdue(list(self._in_flight.items())))
        error = self._limits.final_error(self._waiting, self._in_flight)
        if error is not None and (self._waiting or self._in_flight or self._broken is None):
            self._fail_all(error)

    def _enqueue(self, block: list[Task | tuple[FutureLike, RecordedOutcome | BaseException]]) -> None:
        for item in block:
            if isinstance(item, tuple):
                resolve_recorded(*item, self._observer)
            elif self._broken is None:
                self._waiting.add(item)
            else:
                fail_all([item], self._broken)

    def _send_waiting(self) -> None:
        """Send frames while tasks wait and workers can take them."""
        if self._limits.is_stopping or not self._waiting:
            return
        left = self._limits.seconds_left()
        while (frame := self._waiting.take(self._workers.ready, len(self._in_flight), left)) is not None:
            self._send(frame)

    def _send(self, frame: Frame) -> None:
        try:
            future = self._workers.submit(message := frame.pack(self._limits.max_result_nbytes), frame.avoid)
            self.sent_nbytes += len(message)
        except Exception as error:
            self._waiting.frame_done(frame)
            fail_all(frame.tasks, error)
            return
        self._in_flight[future] = frame
        future.add_done_callback(lambda done: self._inbox.put((self._receive, done)))

    def _receive(self, future: "Future[bytes]") -> None:
        if (frame := self._in_flight.pop(future, None)) is None:  # it has failed with all others
            return
        self._waiting.frame_done(frame)
        if frame.abandoned:
            fail_all(frame.tasks, TaskError("this task was ended: its call was interrupted or abandoned"))
        elif isinstance(error := future.exception(), WorkerDied):
            self.last_worker_loss = time.monotonic()
            self._returned.retry(frame, error)
        elif error is not None:
            fail_all(frame.tasks, error)
        else:
            self.prints.end_frame(future.result())
            self._returned.finish(frame, future.result())

    def _abandon(self, is_unwanted: Callable[[Task], bool]) -> None:
        self._waiting.cancel(is_unwanted)
        for sent, frame in list(self._in_flight.items()):
            if all(map(is_unwanted, frame.tasks)):
                frame.abandoned = True
                self._interrupt([sent])

    def _interrupt(self, futures: "Iterable[Future[bytes]]") -> None:
        for sent in futures:
            self.last_worker_loss = time.monotonic()
            self._workers.interrupt(sent)

    def _fail_all(self, error: BaseException) -> None:
        self._broken = self._broken or error
        fail_all(self._waiting.clear(), error)
        fail_all([task for frame in self._in_flight.values() for task in frame.tasks], error)
        self._in_flight.clear()
