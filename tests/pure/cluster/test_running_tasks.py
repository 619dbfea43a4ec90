"""Announcements of tasks that run for a while."""

from concurrent.futures import Future

import pytest

from hpcml.cluster.dispatch.frames import Frame, Group, Task
from hpcml.cluster.dispatch.running import RunningTasks
from hpcml.data.envelope import Call
from hpcml.errors import JournalFull


class Fixed:
    """Workers whose frames a test sets, and observer that keeps what is announced."""

    slots = 2

    def __init__(self):
        self.frames = {}
        self.announced = []
        self.errors = []

    def frames_running(self):
        return self.frames

    def running(self, tasks, waiting, left):
        names = {worker: task and task[0] for worker, task in tasks.items()}
        self.announced.append((names, waiting, left))


@pytest.fixture
def fixed():
    return Fixed()


@pytest.fixture
def in_flight():
    return {}


@pytest.fixture
def tasks(fixed, in_flight):
    return RunningTasks(fixed, fixed, in_flight, fixed.errors.append)


def send(fixed, in_flight, worker, name):
    future = Future()
    frame = Frame([Task(Call(b"", b"", name, "group"), Future())], Group("group"))
    frame.sent = 10.0
    fixed.frames[worker] = future
    in_flight[future] = frame
    return future


def end(fixed, in_flight, worker):
    del in_flight[fixed.frames.pop(worker)]


def test_a_task_is_announced_when_it_is_seen_again_and_once(fixed, in_flight, tasks):
    send(fixed, in_flight, "n1:0", "fit")
    for now in (10.0, 10.5, 11.1, 12.2, 13.3):
        tasks.look(now, 3, None)
    assert fixed.announced == [({"n1:0": "fit"}, 3, None)]


def test_the_end_of_an_announced_task_is_announced_unless_another_follows(fixed, in_flight, tasks):
    send(fixed, in_flight, "n1:0", "fit")
    send(fixed, in_flight, "n1:1", "fit")
    tasks.look(10.0, 0, 60.0)
    tasks.look(11.0, 0, 59.0)
    end(fixed, in_flight, "n1:0")
    end(fixed, in_flight, "n1:1")
    send(fixed, in_flight, "n1:1", "score")
    tasks.look(12.0, 0, 58.0)
    tasks.look(13.0, 0, 57.0)
    assert [names for names, *_ in fixed.announced] == [
        {"n1:0": "fit", "n1:1": "fit"}, {"n1:0": None}, {"n1:1": "score"}
    ]  # fmt: skip
    end(fixed, in_flight, "n1:1")
    assert tasks.pause is not None, "the end is still to be announced"
    tasks.look(14.0, 0, 56.0)
    assert fixed.announced[-1] == ({"n1:1": None}, 0, 56.0)
    assert tasks.pause is None


def test_short_tasks_are_not_announced(fixed, in_flight, tasks):
    for now in range(10, 40):
        send(fixed, in_flight, "n1:0", "quick")
        tasks.look(float(now), 0, None)
        end(fixed, in_flight, "n1:0")
    assert fixed.announced == []


def test_each_minute_of_a_long_task_has_a_sign_of_life(fixed, in_flight, tasks):
    send(fixed, in_flight, "n1:0", "fit")
    for now in range(100, 300, 2):
        tasks.look(float(now), 0, None)
    assert [names for names, *_ in fixed.announced] == [{}, {"n1:0": "fit"}, {}, {}, {}]


def test_an_announcement_that_cannot_be_recorded_fails_all(fixed, in_flight, tasks):
    def fails(*_):
        raise JournalFull("full")

    fixed.running = fails
    send(fixed, in_flight, "n1:0", "fit")
    tasks.look(100.0, 0, None)
    assert [type(error) for error in fixed.errors] == [JournalFull]
