"""Tasks, groups of equal tasks, and the frames in which tasks are sent."""

import time
from collections import deque
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field

from hpcml.cluster.dispatch.futures import FutureLike, resolve
from hpcml.data.envelope import Call, pack_frame

__all__ = ["Frame", "Group", "Task", "belongs_to_any", "fail_all"]

UNEVEN = 1.5  # seconds of the slowest worker, in those of the fastest, above which workers are uneven
LARGEST_FRAME_BYTES = 4 << 20  # a larger message only delays its first task


@dataclass(eq=False, slots=True)
class Task:
    """A call, its future, and the workers that died while they ran it."""

    call: Call
    future: FutureLike
    deaths: list[str] = field(default_factory=list)
    running: bool = False
    alone: bool = False  # the task must not share a frame: the worker of an earlier one died
    sent: float = 0.0
    data_sent_again: int = 0
    script_state: bytes = b""  # packed, as it was when the task was submitted


@dataclass(eq=False)
class Group:
    """Tasks of one kind: the waiting ones, with their number of calls; the frames in flight; a task's seconds.

    ``seconds`` is a moving mean, ``mean_deviation`` that of the distances from it, and ``of_workers`` has such a
    mean of each worker: some may be faster than others, by their GPUs or their nodes.
    """

    name: str
    waiting: deque[Task] = field(default_factory=deque)
    waiting_calls: int = 0
    frames: int = 0
    seconds: float | None = None
    mean_deviation: float = 0.0
    of_workers: dict[str, float] = field(default_factory=dict)

    def add_sample(self, seconds: float, worker: str = "") -> None:
        """Note the seconds that one more task has taken on a worker."""
        self.of_workers[worker] = 0.8 * self.of_workers.get(worker, seconds) + 0.2 * seconds
        before = seconds if self.seconds is None else self.seconds
        self.mean_deviation = 0.8 * self.mean_deviation + 0.2 * abs(seconds - before)
        self.seconds = 0.8 * before + 0.2 * seconds

    @property
    def is_uneven(self) -> bool:
        """Return whether some workers take much longer than others."""
        return len(self.of_workers) > 1 and max(self.of_workers.values()) > UNEVEN * min(self.of_workers.values())

    @property
    def upper_estimate(self) -> float:
        """Upper estimate of a task's seconds: mean + 4 deviations, as TCP's timeout (RFC 6298); 0 if unknown."""
        return 0.0 if self.seconds is None else self.seconds + 4 * self.mean_deviation

    def add(self, task: Task, first: bool) -> None:
        """Add a waiting task, as the last or the first."""
        (self.waiting.appendleft if first else self.waiting.append)(task)
        self.waiting_calls += task.call.length

    def remove(self, is_unwanted: Callable[[Task], bool]) -> list[Task]:
        """Remove unwanted tasks and return them."""
        removed: list[Task] = []
        kept: deque[Task] = deque()
        for task in self.waiting:
            (removed if is_unwanted(task) else kept).append(task)
        self.waiting = kept
        self.waiting_calls -= sum(task.call.length for task in removed)
        return removed

    def take(self, size: int) -> list[Task]:
        """Pop tasks of up to `size` calls, without cancelled ones; a task that must be alone comes alone."""
        taken: list[Task] = []
        calls = length = 0
        while self.waiting and calls < size and length < LARGEST_FRAME_BYTES:
            if taken and (self.waiting[0].alone or self.waiting[0].script_state != taken[0].script_state):
                break
            task = self.waiting.popleft()
            self.waiting_calls -= task.call.length
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

    ``abandoned`` when no caller waits for them any more, ``overdue`` when they ran too long and were ended.
    """

    tasks: list[Task]
    group: Group
    abandoned: bool = False
    overdue: bool = False

    @property
    def avoid(self) -> frozenset[str]:
        """The workers that died while they ran its tasks."""
        return frozenset(worker for task in self.tasks for worker in task.deaths)

    @property
    def calls(self) -> int:
        """Number of its calls."""
        return sum(task.call.length for task in self.tasks)

    def pack(self, limit: int) -> bytes:
        """Return the message for a worker, which may return `limit` bytes of each task."""
        return pack_frame([task.call for task in self.tasks], limit, self.tasks[0].script_state)

    def __post_init__(self) -> None:
        self.sent = time.monotonic()
        for task in self.tasks:
            task.sent = self.sent


def belongs_to_any(task: Task, futures: Container[FutureLike]) -> bool:
    """Return whether the future of a task, or of the chunk that it was part of, is one of `futures`."""
    return getattr(task.future, "whole", task.future) in futures


def fail_all(tasks: Iterable[Task], error: BaseException) -> None:
    """Fail with `error` those of `tasks` that are not cancelled and have not ended."""
    for task in tasks:
        if task.running or task.future.set_running_or_notify_cancel():
            resolve(task.future, error=error)
