"""What is run again: tasks whose worker died, whose data was not there, or whose results could not travel."""

import logging
from collections.abc import Callable

from hpcml.errors import DataMissing, TaskTimeout, WorkerDied
from hpcml.frames import Frame, FutureLike, Task, settle
from hpcml.task import split

__all__ = ["blame", "send_data_again", "split_up", "verdicts"]

log = logging.getLogger("hpcml")


def blame(task: Task, death: WorkerDied, retries: int, alone: bool) -> WorkerDied | None:
    """Note the death of a worker under `task`; return what the task fails with, when it was one too many.

    It is not to blame when it had not begun, nor when it was not `alone` in its frame; but then it will be.
    """
    if not death.started:
        return None
    task.alone = True
    if alone:
        task.deaths.append(death.worker)
    if len(task.deaths) < retries:
        return None
    hosts = ", ".join(task.deaths)
    what = f"{task.call.name} ended {len(task.deaths)} workers ({hosts}) and is not tried again"
    return WorkerDied(f"{what}: {death}")


def send_data_again(task: Task, missing: DataMissing, restore: Callable[[str, float], None]) -> bool:
    """Send what a worker did not find to the nodes once more; True when `task` can then run again."""
    log.warning("%s: sending it again", missing)
    task.data_sent_again += 1
    try:
        restore(missing.digest, task.sent)
    except Exception as error:
        settle(task.future, error=error)
        return False
    return True


def verdicts(
    frame: Frame, death: WorkerDied, retries: int, exceeded: Callable[[Task, WorkerDied], TaskTimeout]
) -> list[tuple[Task, TaskTimeout | WorkerDied | None]]:
    """Return what of a frame whose worker died is to run again (None), or fails, and with what.

    The calls of a chunk that may have begun go their own ways. `exceeded` gives the error of a task that ran
    too long.
    """
    whole = not death.started and not frame.overdue
    tasks = frame.tasks if whole else [part for task in frame.tasks for part in split_up(task)]
    alone = len(tasks) == 1
    if not frame.overdue:
        return [(task, blame(task, death, retries, alone)) for task in tasks]
    for task in tasks:
        task.alone = True
    return [(task, exceeded(task, death) if alone else None) for task in tasks]


def split_up(task: Task) -> list[Task]:
    """Return the tasks of a chunk, none of which may share a frame again; of any other, itself."""
    if not task.call.keys:
        return [task]
    items: list[FutureLike] = task.future.items  # type: ignore[attr-defined]  # that of a chunk has them
    return [Task(call, item, running=True, alone=True) for call, item in zip(split(task.call), items, strict=True)]
