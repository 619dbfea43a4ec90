"""Limits of tasks: time of each, and the time left in the job."""

from concurrent.futures import Future

from waiting_tasks import waiting

from hpcml.cluster.dispatch.frames import Task
from hpcml.cluster.dispatch.limits import Limits
from hpcml.data.envelope import Call
from hpcml.errors import OutOfTime, WorkerDied


def test_no_task_fails_while_one_runs_or_fits():
    limits = Limits(None, lambda: 5.0)
    assert limits.final_error(waiting(10.0), in_flight=["a frame"]) is None
    assert limits.final_error(waiting(1.0), in_flight=[]) is None
    assert not limits.is_stopping
    assert isinstance(limits.final_error(waiting(10.0), in_flight=[]), OutOfTime)
    assert limits.is_stopping


def test_running_tasks_fail_when_the_time_is_up():
    assert isinstance(Limits(None, lambda: -0.1).final_error(waiting(1.0), in_flight=["a frame"]), OutOfTime)


def test_the_earliest_stop_counts():
    limits, late, early = Limits(None, lambda: None), OutOfTime("late"), OutOfTime("early")
    limits.stop(late, 60)
    assert limits.final_error(waiting(1.0), ["a frame"]) is None
    limits.stop(early, 0)
    limits.stop(late, 60)
    assert limits.final_error(waiting(1.0), ["a frame"]) is early


def test_a_task_that_ran_too_long_is_named_with_its_worker():
    task = Task(Call(b"", b"", "module.fit", "group"), Future())
    message = str(Limits(2.5, lambda: None).timeout_error(task, WorkerDied("gone", "n1:3")))
    assert message == "module.fit ran longer than task_timeout=2.5 s on n1:3, which was ended and is replaced"
