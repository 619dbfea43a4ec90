"""Queues of tasks of known duration, for the tests of the queue and of limits."""

from concurrent.futures import Future

from hpcml.cluster.dispatch.frames import Task
from hpcml.cluster.dispatch.queue import TaskQueue
from hpcml.data.envelope import Call


def waiting(seconds, tasks=3, limit=None):
    """Return waiting tasks of a group, one of whose tasks took so many seconds."""
    found = TaskQueue(limit)
    for _ in range(tasks):
        found.add(Task(Call(b"", b"", "name", "group"), Future()))
    frame = found.take(slots=1, in_flight=0)
    found.add_sample(frame.tasks[0], frame.group, seconds)
    found.frame_done(frame)
    return found
