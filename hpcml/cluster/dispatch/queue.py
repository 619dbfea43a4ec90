"""Queue of the tasks that wait for a worker, in groups; gives the frame that is sent next."""

from collections.abc import Callable, Iterable
from concurrent.futures import Future

from hpcml.cluster.dispatch.frames import Frame, Group, Task, fail_all
from hpcml.cluster.dispatch.sizes import frame_size
from hpcml.errors import TaskError

__all__ = ["TaskQueue"]

# A busy worker is sent a second frame only if a frame lasts less than this. Behind a longer one the second would
# wait, while another worker may soon be free.
PREFETCH_SECONDS = 0.5
# Among uneven workers only shorter frames: a slow worker would hold two when the fast ones have ended theirs.
UNEVEN_PREFETCH_SECONDS = 0.03


class TaskQueue:
    """Tasks of one group are sent together; the groups take turns.

    A group exists while a task of it waits or a frame of it is in flight. The seconds that tasks of a name have
    taken are kept until the Cluster ends.

    Parameters
    ----------
    limit
        Seconds that one task may run; None: no limit.
    """

    def __init__(self, limit: float | None = None) -> None:
        self._limit = limit
        self._groups: dict[str, Group] = {}
        self._ready: dict[str, Group] = {}  # the groups with waiting tasks, the next first
        self._seconds: dict[str, float] = {}  # per task of a name, also from groups that have ended

    def __bool__(self) -> bool:
        return bool(self._ready)

    @property
    def calls(self) -> int:
        """Number of calls that wait. Any thread may ask for it."""
        return sum(group.waiting_calls for group in list(self._ready.values()))

    def add(self, task: Task, first: bool = False) -> None:
        """Add `task` to its group, as the last or the first."""
        name = task.call.group
        group = self._groups.get(name)
        if group is None:
            group = self._groups[name] = Group(name, seconds=self._seconds.get(task.call.name))
        self._ready.setdefault(name, group)
        group.add(task, first)

    def add_again(self, tasks: list[Task]) -> None:
        """Add `tasks` in front of all others of their groups, in order."""
        for task in reversed(tasks):
            self.add(task, first=True)

    def take(self, slots: int, in_flight: int, left: float | None = None) -> Frame | None:
        """Return the next frame; None where no task waits, or where the workers have enough frames.

        Tasks that would probably run longer than `left` seconds stay in the queue.
        """
        for name, group in list(self._ready.items()):
            if left is not None and group.upper_estimate > left:
                continue
            tasks = group.take(self._frame_size(group, slots, in_flight))
            if not group.waiting:
                del self._ready[name]
            if tasks:
                if group.waiting:  # the other groups are next
                    self._ready[name] = self._ready.pop(name)
                group.frames += 1
                return Frame(tasks, group)
        return None

    def fits(self, left: float) -> bool:
        """Return whether any waiting task will probably end within `left` seconds."""
        return any(group.upper_estimate <= left for group in self._ready.values())

    def _frame_size(self, group: Group, slots: int, in_flight: int) -> int:
        """Return how many tasks of `group` may be sent now."""
        width = group.waiting[0].call.width or slots
        size = frame_size(group.seconds, len(group.waiting), min(width, slots))
        prefetch = width >= slots and group.seconds is not None and _is_short(size * group.seconds, group)
        if self._limit is not None:  # the limit counts from the sending of a frame
            prefetch = False
            size = size if size * (group.seconds or 0) < self._limit / 10 else 1
        if group.frames >= width and not prefetch:
            return 0
        if in_flight >= (2 * slots if prefetch else slots):
            return 0
        return size

    def seconds(self, group: str, name: str) -> float | None:
        """Return the measured seconds of a call of `group`, else of function `name`; None if unknown.

        None also where each task has a limit: then no task may be sent with others. Any thread may call this.
        """
        if self._limit is not None:
            return None
        known = self._groups.get(group)
        return self._seconds.get(name) if known is None or known.seconds is None else known.seconds

    def frame_done(self, frame: Frame) -> None:
        """Note that a frame is no longer in flight."""
        group = frame.group
        group.frames -= 1
        if not group.frames and not group.waiting:
            self._groups.pop(group.name, None)

    def add_sample(self, task: Task, group: Group, seconds: float, worker: str = "") -> None:
        """Note the seconds that one task has taken on a worker."""
        group.add_sample(seconds, worker)
        if task.call.group.startswith(task.call.name):  # not of joblib: the next Parallel calls another function
            self._seconds[task.call.name] = group.seconds or 0.0

    def remove(self, is_unwanted: Callable[[Task], bool]) -> list[Task]:
        """Remove unwanted tasks and return them."""
        removed = [task for group in self._ready.values() for task in group.remove(is_unwanted)]
        self._ready = {name: group for name, group in self._ready.items() if group.waiting}
        return removed

    def cancel(self, is_unwanted: Callable[[Task], bool]) -> None:
        """Cancel unwanted tasks; those whose futures cannot be cancelled fail."""
        removed = self.remove(is_unwanted)
        for task in removed:
            if isinstance(task.future, Future):
                task.future.cancel()
        fail_all(removed, TaskError("this task has not run: its call was interrupted or abandoned"))

    def clear(self) -> Iterable[Task]:
        """Remove all tasks and return them."""
        return self.remove(lambda _: True)


def _is_short(seconds: float, group: Group) -> bool:
    """Return whether a frame of so many seconds may wait at a busy worker."""
    if seconds >= PREFETCH_SECONDS:
        return False
    return seconds < UNEVEN_PREFETCH_SECONDS or not group.is_uneven
