"""Functions that the tests of `hpcml.scoop_programs` send to workers."""

import time

from hpcml.scoop_programs import futures, shared


def fail(number):
    raise LookupError(f"no {number}")


def nap(seconds):
    time.sleep(seconds)
    return seconds


def long_nap():
    """Sleep, under a name whose duration is unknown, so that no task is sent ahead."""
    time.sleep(0.5)
    return 0.5


def constant(name, timeout=0.1):
    return shared.getConst(name, timeout=timeout)


def total(name):
    return float(shared.getConst(name).sum())


def set_constant(name):
    shared.setConst(**{name: 1})


def nested(number):
    """Return states and results of futures within a task."""
    called = []
    future = futures.submit(pow, number, 2)
    future.add_done_callback(lambda future: called.append(future.result()))
    failed = futures.submit(fail, number)
    after = futures.map(fail, [1])  # its result is never read
    done, not_done = futures.wait([future], timeout=0)
    return {
        "done": (future.done(), future.running(), future.cancel(), future.cancelled()),
        "called": called,
        "failed": str(failed.exception()),
        "untaken": type(after).__name__,
        "waited": (len(done), len(not_done)),
        "completed": [one.result() for one in futures.as_completed([future, future])],
        "reduced": futures.mapReduce(abs, min, [3, -2, 5]),
        "scanned": futures.mapScan(abs, max, [3, -2, 5]),
    }


def nested_error(number):
    return list(futures.map(fail, [number]))


def halves(values):
    """Return the values subtracted as SCOOP's tree does it."""
    half = len(values) // 2
    return values[0] if not half else halves(values[:half]) - halves(values[half:])
