"""Time limits of tasks and of the job, and the signals that tell of its end."""

import os
import signal
import subprocess
import sys
from concurrent.futures import Future

from patience import patient, wait_until

from hpcml.cluster.dispatch.frames import Task
from hpcml.cluster.dispatch.limits import Limits
from hpcml.cluster.dispatch.queue import TaskQueue
from hpcml.data.envelope import Call
from hpcml.errors import OutOfTime, WorkerDied
from hpcml.slurm.deadline import MARGIN_SECONDS, Deadline


def waiting(seconds, tasks=3, limit=None):
    """Return tasks of a group in which one has lasted so many seconds."""
    found = TaskQueue(limit)
    for _ in range(tasks):
        found.add(Task(Call(b"", b"", "name", "group"), Future()))
    frame = found.take(slots=1, in_flight=0)
    found.add_sample(frame.tasks[0], frame.group, seconds)
    found.frame_done(frame)
    return found


def test_a_task_that_does_not_fit_is_held_back():
    tasks = waiting(10.0)
    assert tasks.take(4, 0, left=9.9) is None
    assert len(tasks.take(4, 0, left=10.1).tasks) == 1


def test_times_that_differ_make_the_estimate_longer():
    tasks = waiting(10.0)
    frame = tasks.take(4, 0)
    tasks.add_sample(frame.tasks[0], frame.group, 20.0)
    assert tasks.take(4, 0, left=19.0) is None  # 12 s on average, but 2 s apart
    assert tasks.take(4, 0, left=21.0) is not None


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


def test_a_time_limit_makes_frames_small_and_sends_nothing_ahead():
    assert len(waiting(0.001, tasks=9).take(1, 0).tasks) > 1
    assert len(waiting(0.1, tasks=9, limit=0.5).take(1, 0).tasks) == 1
    assert waiting(0.1, tasks=9, limit=0.5).take(1, in_flight=1) is None


def test_a_task_that_ran_too_long_is_named_with_its_worker():
    task = Task(Call(b"", b"", "module.fit", "group"), Future())
    said = str(Limits(2.5, lambda: None).timeout_error(task, WorkerDied("gone", "n1:3")))
    assert said == "module.fit ran longer than task_timeout=2.5 s on n1:3, which was ended and is replaced"


def test_slurm_is_asked_and_the_environment_is_the_fallback():
    def fail():
        raise OSError("no answer")

    deadline = Deadline(fail, 100.0, lambda number: None)
    assert 99 - MARGIN_SECONDS < deadline.left() <= 100 - MARGIN_SECONDS
    deadline.close()
    deadline = Deadline(lambda: 50.0, 100.0, lambda number: None)
    wait_until(lambda: deadline.left() < 51 - MARGIN_SECONDS)
    deadline.close()
    deadline = Deadline(None, None, lambda number: None)
    assert deadline.left() is None
    deadline.close()


def test_signals_are_handled_until_the_deadline_closes():
    heard = []
    deadline = Deadline(None, None, heard.append)
    for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2):
        os.kill(os.getpid(), number)
    wait_until(lambda: len(heard) == 4)
    deadline.close()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert sorted(heard) == sorted([signal.SIGUSR1, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2])


def test_the_users_handler_stays_and_a_forked_child_dies_of_sigterm():
    code = """
import os, signal, time
signal.signal(signal.SIGUSR1, lambda *_: print("mine", flush=True))
from hpcml.slurm.deadline import Deadline
deadline = Deadline(None, None, lambda number: print("ours", number, flush=True))
os.kill(os.getpid(), signal.SIGUSR1)
reader, writer = os.pipe()
child = os.fork()
if child == 0:
    os.write(writer, b"here")
    while True:
        time.sleep(0.05)
os.read(reader, 4)
os.kill(child, signal.SIGTERM)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
deadline.close()
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=patient(20), check=True)
    assert done.stdout == "mine\n-15\n"
