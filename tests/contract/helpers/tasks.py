"""Functions that the contract tests send to workers."""

import mmap
import os
import signal
import time
import warnings

import numpy as np

from hpcml.engines.worker import current_worker


def add(a, b=0):
    return a + b


def who():
    return str(current_worker()), os.getpid()


def who_and_mapped_who(cluster):
    return who(), list(cluster.map(slow_who, [0, 0]))


def slow_who(seconds):
    time.sleep(seconds)
    return who()


def mark_and_sleep(path, seconds):
    """Write a mark for each start."""
    with open(path, "a") as file:
        file.write("x")
    time.sleep(seconds)


def span(seconds):
    """Return begin and end of this call, on the clock that all processes of a computer share."""
    began = time.clock_gettime(time.CLOCK_MONOTONIC)
    time.sleep(seconds)
    return began, time.clock_gettime(time.CLOCK_MONOTONIC)


def fail_at(number, bad):
    if number == bad:
        raise KeyError(f"number {number}")
    return number


def fail_or_sleep(number, seconds):
    if number == 0:
        raise ZeroDivisionError("the first task fails")
    time.sleep(seconds)


class PickyError(Exception):
    """Exception whose pickle does not load: __init__ needs two arguments, args holds one."""

    def __init__(self, number, reason):
        super().__init__(f"{number}: {reason}")
        self.number = number
        self.reason = reason


def picky():
    raise PickyError(7, "because")


def leave():
    raise SystemExit(5)


def die(path):
    """Kill this worker, but only the first time."""
    if not os.path.exists(path):
        open(path, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return "survived"


def always_die():
    os.kill(os.getpid(), signal.SIGKILL)


def unpicklable_result():
    return (number for number in range(3))


def shout(number):
    print(f"task {number} speaks")
    warnings.warn("mind the gap", RuntimeWarning, stacklevel=1)
    return number


def about(array):
    """Return whether `array` is a view of a file, and its sum."""
    base = array
    while isinstance(base, np.ndarray):
        base = base.base
    return isinstance(base, mmap.mmap), float(array.sum())


def total(array):
    return float(array.sum())


def assign(array):
    array[:] = 0.0
    return float(array.sum())


def value_about(handle):
    return (*about(handle.value["array"]), handle.value["names"][-1])


def die_once(array, mark, _):
    """Kill this worker, in the first call of any task."""
    try:
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return float(array.sum())
    os.kill(os.getpid(), signal.SIGKILL)


def fail_with(array):
    raise KeyError(array[:5])


def mark_or_fail(array, directory):
    """Write a mark; raise for the second of the arrays."""
    number = int(array[0])
    open(os.path.join(directory, str(number)), "w").close()
    if number == 1:
        raise KeyError(f"chunk {number}")
