"""Slowness of this computer, compared with the reference computer: waits of tests are multiplied by it.

A wide bound costs nothing where the wait ends with its event, so bounds are wide. Where a test checks the bound
itself, for instance the seconds until a death is noticed, `promised` measures the slowness again.
"""

import os
import time
from collections.abc import Callable

SLOWNESS = "HPCML_TEST_SLOWNESS"  # measured once in a run, and passed on to the other processes of the run
REFERENCE = 0.040  # seconds that `_loop` takes on the reference computer, which has nothing else to do
SAMPLES = 12
BESIDE = 2.0  # the tests themselves keep the processors busy, but not yet when the loop is measured
LARGEST = 10.0  # some tests wait for a timeout of their own, which must not last for ever


def _loop() -> float:
    began = time.perf_counter()
    total = 0
    for number in range(500_000):
        total += number % 7
    return time.perf_counter() - began


def slowness() -> float:
    """Return the slowness of this computer in the rings, 1 for the idle reference computer, up to LARGEST.

    Other work on this computer counts. Such work comes in bursts, so the mean of several loops is taken.
    """
    if SLOWNESS not in os.environ:
        os.environ[SLOWNESS] = f"{min(BESIDE * max(_measured(), 1.0), LARGEST):.2f}"
    return float(os.environ[SLOWNESS])


def _measured() -> float:
    return sum(_loop() for _ in range(SAMPLES)) / SAMPLES / REFERENCE


def promised(seconds: float) -> float:
    """Return the seconds in which a promise of `seconds` to users is kept, with other work running until now."""
    return round(seconds * max(slowness(), BESIDE * _measured(), _waiting()), 1)


def _waiting() -> float:
    """Return how many processes shared a processor in the last minute, in which the promise was kept or not."""
    return min(os.getloadavg()[0] / len(os.sched_getaffinity(0)), LARGEST)


def patient(seconds: float) -> float:
    """Return `seconds` of the reference computer in seconds of this one."""
    return round(seconds * slowness(), 1)


def wait_until(true: Callable[[], object], seconds: float = 60.0, what: object = "") -> None:
    """Wait until `true()`; AssertionError after `patient(seconds)`, with `what` or the value of `what()`."""
    end = time.monotonic() + patient(seconds)
    while not true():
        assert time.monotonic() < end, what() if callable(what) else what
        time.sleep(0.05)
