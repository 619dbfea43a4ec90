"""Retries of tasks: their worker died, their data was missing, or a chunk came back half finished."""

import logging
from collections.abc import Callable
from typing import cast

from hpcml.cluster.dispatch.chunks import split
from hpcml.cluster.dispatch.frames import Frame, Task
from hpcml.cluster.dispatch.futures import ChunkFuture, resolve
from hpcml.cluster.dispatch.sizes import chunk_length
from hpcml.data.envelope import Call
from hpcml.data.outcomes import Outcome
from hpcml.errors import DataMissing, TaskTimeout, WorkerDied

__all__ = ["decide_retries", "finished_part", "record_death", "resolve_outcome", "send_data_again", "split_chunk"]

log = logging.getLogger("hpcml")


def record_death(task: Task, death: WorkerDied, retries: int, alone: bool) -> WorkerDied | None:
    """Record that a worker died while running `task`; return the task's error once `retries` is reached.

    The death counts only if the task had started and was `alone` in its frame; otherwise it is retried alone.
    """
    if not death.started:
        return None
    task.alone = True
    if alone:
        task.deaths.append(death.worker)
    if len(task.deaths) < retries:
        return None
    workers = ", ".join(task.deaths)
    return WorkerDied(
        f"{task.call.name} ended {len(task.deaths)} workers ({workers}) and is not tried again: {death}"
    )


def send_data_again(task: Task, missing: DataMissing, restore: Callable[[str, float], None]) -> bool:
    """Send data that a worker did not find to the nodes again; return True if `task` can then run again."""
    log.warning("%s: sending it again", missing)
    task.data_sent_again += 1
    try:
        restore(missing.digest, task.sent)
    except Exception as error:
        resolve(task.future, error=error)
        return False
    return True


def decide_retries(
    frame: Frame, death: WorkerDied, retries: int, timeout_error: Callable[[Task, WorkerDied], TaskTimeout]
) -> list[tuple[Task, TaskTimeout | WorkerDied | None]]:
    """Return each task of a frame whose worker died, with its error, or None to retry it.

    A chunk that may have begun is split into its calls. `timeout_error` makes the error of an overdue task.
    """
    whole = not death.started and not frame.overdue
    tasks = frame.tasks if whole else [part for task in frame.tasks for part in split_chunk(task)]
    alone = len(tasks) == 1
    if not frame.overdue:
        return [(task, record_death(task, death, retries, alone)) for task in tasks]
    for task in tasks:
        task.alone = True
    return [(task, timeout_error(task, death) if alone else None) for task in tasks]


def split_chunk(task: Task) -> list[Task]:
    """Return a chunk's calls as tasks, which may not share a frame again; any other task as it is."""
    if task.call.length == 1:
        return [task]
    return _part_tasks(task, 1, alone=True)


def _part_tasks(task: Task, length: int, start: int = 0, alone: bool = False) -> list[Task]:
    calls = split(task.call, length, start)
    ends = [min(end, task.call.length) for end in range(start + length, task.call.length + length, length)]
    futures = [_chunk_future(task).part(end - call.length, end) for call, end in zip(calls, ends, strict=True)]
    around = task.script_state
    return [
        Task(call, one, running=True, alone=alone, script_state=around)
        for call, one in zip(calls, futures, strict=True)
    ]


def _chunk_future(task: Task) -> ChunkFuture:
    return cast(ChunkFuture, task.future)


def finished_part(call: Call, outcome: Outcome) -> Call:
    """Return the part of a call that the outcome covers: a chunk may come back half finished."""
    if not call.keys or outcome.error is not None:
        return call
    return call._replace(keys=call.keys[: len(outcome.value)])


def resolve_outcome(task: Task, outcome: Outcome) -> list[Task]:
    """Resolve the future of a task, or of the finished part of a chunk; return the tasks that are left to run."""
    if not task.call.keys:
        resolve(task.future, outcome.value, outcome.error)
        return []
    done = len(outcome.value)
    length = task.call.length
    if done:
        resolve(_chunk_future(task).part(0, done), outcome.value)
    if outcome.error is not None:
        resolve(_chunk_future(task).part(done, length), error=outcome.error)
        return []
    if done == length:
        return []
    return _part_tasks(task, chunk_length(outcome.seconds / max(done, 1), length - done), done)
