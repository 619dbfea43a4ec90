"""Time left in the job, as Slurm or the environment gives it, and the signals of its end."""

import os
import signal
import subprocess
import sys

from patience import patient, wait_until

from hpcml.slurm.deadline import MARGIN_SECONDS, Deadline


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
    received = []
    deadline = Deadline(None, None, received.append)
    for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2):
        os.kill(os.getpid(), number)
    wait_until(lambda: len(received) == 4)
    deadline.close()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert sorted(received) == sorted([signal.SIGUSR1, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2])


def test_a_job_may_last_for_years():
    received = []
    deadline = Deadline(lambda: 1e9, None, received.append)
    wait_until(lambda: deadline.left() is not None)
    os.kill(os.getpid(), signal.SIGUSR1)
    wait_until(lambda: received == [signal.SIGUSR1])
    deadline.close()


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
