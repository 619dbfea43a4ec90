"""The tasks that wait for a worker, in groups, and which of them are sent next."""

from collections import deque
from collections.abc import Iterable

from hpcml.cluster.dispatch.frames import Frame, Group, Task, belongs_to_any
from hpcml.cluster.dispatch.futures import FutureLike
from hpcml.cluster.dispatch.sizes import frame_size

__all__ = ["TaskQueue"]

PREFETCH_SECONDS = 0.5  # a frame that waits behind one longer than this would be faster elsewhere


class TaskQueue:
    """Tasks of one group are sent together; the groups take turns.

    A group is known while something of it waits or is on its way. How long the tasks of a name have taken is
    kept for good.

    Parameters
    ----------
    limit
        Seconds that one task may last; None: any.
    """

    def __init__(self, limit: float | None = None) -> None:
        self._limit = limit
        self._groups: dict[str, Group] = {}
        self._ready: dict[str, Group] = {}  # the groups in which something waits, the next first
        self._seconds: dict[str, float] = {}  # what a task of a name took, in groups that are gone

    def __bool__(self) -> bool:
        return bool(self._ready)

    def add(self, task: Task, first: bool = False) -> None:
        """Have `task` wait, as the last or the first of its group."""
        name = task.call.group
        group = self._groups.get(name)
        if group is None:
            group = self._groups[name] = Group(name, seconds=self._seconds.get(task.call.name))
        self._ready.setdefault(name, group)
        (group.waiting.appendleft if first else group.waiting.append)(task)

    def add_again(self, tasks: list[Task]) -> None:
        """Have `tasks` wait in front of all others, in order."""
        for task in reversed(tasks):
            self.add(task, first=True)

    def take(self, slots: int, in_flight: int, left: float | None = None) -> Frame | None:
        """Return the next frame, when there is something to send and credit to send it on.

        Tasks that would probably last longer than `left` seconds are held back.
        """
        for name, group in list(self._ready.items()):
            if left is not None and group.upper_estimate > left:
                continue
            tasks = group.take(self._size(group, slots, in_flight))
            if not group.waiting:
                del self._ready[name]
            if tasks:
                if group.waiting:  # the others first
                    self._ready[name] = self._ready.pop(name)
                group.frames += 1
                return Frame(tasks, group)
        return None

    def fits(self, left: float) -> bool:
        """Tell whether anything that waits will probably end within `left` seconds."""
        return any(group.upper_estimate <= left for group in self._ready.values())

    def _size(self, group: Group, slots: int, in_flight: int) -> int:
        """Return how many tasks of `group` may go now."""
        width = group.waiting[0].call.width or slots
        size = frame_size(group.seconds, len(group.waiting), min(width, slots))
        prefetch = width >= slots and group.seconds is not None and size * group.seconds < PREFETCH_SECONDS
        if self._limit is not None:  # it counts from when a frame is sent
            prefetch = False
            size = size if size * (group.seconds or 0) < self._limit / 10 else 1
        if group.frames >= width and not prefetch:
            return 0
        if in_flight >= (2 * slots if prefetch else slots):
            return 0
        return size

    def seconds(self, group: str, name: str) -> float | None:
        """Return what a call of `group`, or of a function, takes, as far as that is known; in any thread.

        None where there is a limit for each task: then none may be sent with others.
        """
        if self._limit is not None:
            return None
        known = self._groups.get(group)
        return self._seconds.get(name) if known is None or known.seconds is None else known.seconds

    def frame_done(self, frame: Frame) -> None:
        """Take note that a frame is no longer on its way."""
        group = frame.group
        group.frames -= 1
        if not group.frames and not group.waiting:
            self._groups.pop(group.name, None)

    def add_sample(self, task: Task, group: Group, seconds: float) -> None:
        """Take note of what one task has lasted."""
        group.add_sample(seconds)
        if task.call.group.startswith(task.call.name):  # joblib's calls tell nothing of the next Parallel's
            self._seconds[task.call.name] = group.seconds or 0.0

    def remove(self, futures: set[FutureLike]) -> list[Task]:
        """Remove the tasks of `futures` and return them."""
        given_up: list[Task] = []
        for group in self._ready.values():
            given_up += [task for task in group.waiting if belongs_to_any(task, futures)]
            group.waiting = deque(task for task in group.waiting if not belongs_to_any(task, futures))
        self._ready = {name: group for name, group in self._ready.items() if group.waiting}
        return given_up

    def clear(self) -> Iterable[Task]:
        """Remove all tasks and return them."""
        tasks = [task for group in self._ready.values() for task in group.waiting]
        for group in self._ready.values():
            group.waiting.clear()
        self._ready.clear()
        return tasks
