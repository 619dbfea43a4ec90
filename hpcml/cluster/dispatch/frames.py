"""Tasks that wait, and how many of them are sent in one frame."""

import logging
import math
import time
from collections import deque
from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from hpcml.data.envelope import Call, RecordedOutcome, TaskObserver, pack_frame

__all__ = [
    "ChunkFuture",
    "Frame",
    "FutureLike",
    "Group",
    "Task",
    "fail_all",
    "frame_size",
    "is_of",
    "settle",
    "settle_known",
]

log = logging.getLogger("hpcml")

FRAME_SECONDS = 0.2  # long enough to hide a message's 5 ms; results not yet sent are lost if the worker dies
SHORTEST_FRAME = 0.01  # below twice the cost of a message, more frames make the end later, not earlier
LARGEST_FRAME = 4 << 20  # bytes; more in one message only delays its first task


class FutureLike(Protocol):
    """The part of a future that the dispatcher uses: of `concurrent.futures.Future`, and of a map's `MapItem`."""

    def set_running_or_notify_cancel(self) -> bool:
        """Return False when the task was cancelled and must not run."""

    def done(self) -> bool:
        """Tell whether it has its result or was cancelled."""

    def set_result(self, value: Any, /) -> None:
        """Take what the task returned."""

    def set_exception(self, error: BaseException | None, /) -> None:
        """Take what the task raised."""


class ChunkFuture(FutureLike, Protocol):
    """The future of a chunk: its result is a list."""

    def part(self, first: int, last: int) -> "ChunkFuture":
        """Return the future of the calls from `first` up to `last`, counted in this chunk."""


@dataclass(eq=False, slots=True)
class Task:
    """A call on its way, its future, and the workers that died under it."""

    call: Call
    future: FutureLike
    deaths: list[str] = field(default_factory=list)
    running: bool = False
    alone: bool = False  # it must not share a frame: one that it was in has come to nothing
    sent: float = 0.0
    data_sent_again: int = 0
    script_state: bytes = b""  # of the script when this was submitted


@dataclass(eq=False)
class Group:
    """Tasks of one kind: those that wait, the frames in flight, and the seconds that one takes.

    ``spread`` is the mean of how much the times differ from ``seconds``.
    """

    name: str
    waiting: deque[Task] = field(default_factory=deque)
    frames: int = 0
    seconds: float | None = None
    spread: float = 0.0

    def note(self, seconds: float) -> None:
        """Take in what one more task has lasted."""
        before = seconds if self.seconds is None else self.seconds
        self.spread = 0.8 * self.spread + 0.2 * abs(seconds - before)
        self.seconds = 0.8 * before + 0.2 * seconds

    @property
    def longest(self) -> float:
        """Upper estimate of a task's seconds: mean + 4 deviations, as TCP's timeout (RFC 6298); 0 if unknown."""
        return 0.0 if self.seconds is None else self.seconds + 4 * self.spread

    def take(self, size: int) -> list[Task]:
        """Pop tasks of up to `size` calls that are not cancelled; one that must be sent alone is."""
        taken: list[Task] = []
        calls = length = 0
        while self.waiting and calls < size and length < LARGEST_FRAME:
            if taken and (self.waiting[0].alone or self.waiting[0].script_state != taken[0].script_state):
                break
            task = self.waiting.popleft()
            if task.running or task.future.set_running_or_notify_cancel():
                task.running = True
                taken.append(task)
                calls += task.call.length
                length += task.call.nbytes
            if task.alone:
                break
        return taken


@dataclass(eq=False)
class Frame:
    """Tasks that are sent together.

    ``abandoned`` when nobody waits for them any more, ``overdue`` when they ran too long and were ended.
    """

    tasks: list[Task]
    group: Group
    abandoned: bool = False
    overdue: bool = False

    @property
    def avoid(self) -> frozenset[str]:
        """The workers that died under its tasks."""
        return frozenset(worker for task in self.tasks for worker in task.deaths)

    def is_of(self, futures: Container[FutureLike]) -> bool:
        """Tell whether the futures of all tasks are among `futures`."""
        return all(is_of(task, futures) for task in self.tasks)

    def pack(self, limit: int) -> bytes:
        """Return what is sent to a worker, which may return `limit` bytes of each task."""
        return pack_frame([task.call for task in self.tasks], limit, self.tasks[0].script_state)

    def __post_init__(self) -> None:
        self.sent = time.monotonic()
        for task in self.tasks:
            task.sent = self.sent


def is_of(task: Task, futures: Container[FutureLike]) -> bool:
    """Tell whether the future of a task, or of the chunk that it was part of, is one of `futures`."""
    return getattr(task.future, "whole", task.future) in futures


def frame_size(seconds: float | None, waiting: int, slots: int) -> int:
    """Return how many tasks of `seconds` each should be sent together (guided self-scheduling).

    A frame lasts about 0.2 s, and near the end holds half of a slot's share of what is still waiting, so
    that all slots end together (Polychronopoulos and Kuck 1987, doi:10.1109/TC.1987.5009495). Never more
    than the whole share: tasks may last longer than those before them.

    Examples
    --------
    >>> from hpcml.cluster.dispatch.frames import frame_size
    >>> frame_size(0.001, waiting=100_000, slots=12), frame_size(0.001, waiting=240, slots=12)
    (200, 10)
    >>> frame_size(30.0, waiting=100_000, slots=12), frame_size(None, waiting=100_000, slots=12)
    (1, 1)
    """
    if not seconds:
        return 1
    seconds = max(seconds, 1e-9)
    whole = math.ceil(waiting / max(slots, 1))
    share = math.ceil(waiting / (2 * max(slots, 1)))
    worth_sending = max(share, int(SHORTEST_FRAME / seconds))
    return max(1, min(int(FRAME_SECONDS / seconds), worth_sending, whole))


def settle(future: FutureLike, value: Any = None, error: BaseException | None = None) -> None:
    """Resolve a future; what its callbacks raise is logged, SystemExit included."""
    try:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(value)
    except BaseException:
        log.exception("a callback of a future failed")


def settle_known(future: FutureLike, known: RecordedOutcome | BaseException, watcher: TaskObserver) -> None:
    """Resolve the future of a call with what is known of it beforehand."""
    if isinstance(known, BaseException):
        settle(future, error=known)
    else:
        watcher.recalled(known)
        settle(future, known.outcome.value)


def fail_all(tasks: Iterable[Task], error: BaseException) -> None:
    """Fail with `error` those of `tasks` that nobody has cancelled and that have not ended."""
    for task in tasks:
        if task.running or task.future.set_running_or_notify_cancel():
            settle(task.future, error=error)
