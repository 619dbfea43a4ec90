"""How much longer than on the reference computer things take here, now: waits of tests are multiplied by it.

A wait that ends with its event costs nothing when its bound is wide, so that bounds are wide. A bound that is
itself what a test checks, seconds until a death is noticed for instance, is measured again then: `promised`.
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
    """Return how many times as long as on the idle reference computer things take in the rings, up to LARGEST.

    Other work on the computer counts, and comes in bursts: it is the mean of several loops.
    """
    if SLOWNESS not in os.environ:
        os.environ[SLOWNESS] = f"{min(BESIDE * max(_measured(), 1.0), LARGEST):.2f}"
    return float(os.environ[SLOWNESS])


def _measured() -> float:
    return sum(_loop() for _ in range(SAMPLES)) / SAMPLES / REFERENCE


def promised(seconds: float) -> float:
    """Return what `seconds` that are promised to users may take now, whatever else the computer does."""
    return round(seconds * max(slowness(), BESIDE * _measured()), 1)


def patient(seconds: float) -> float:
    """Return `seconds` of the reference computer in seconds of this one."""
    return round(seconds * slowness(), 1)


def wait_until(true: Callable[[], object], seconds: float = 60.0, what: object = "") -> None:
    """Return when `true()` is; AssertionError after `patient(seconds)`, with `what` or what `what()` returns."""
    end = time.monotonic() + patient(seconds)
    while not true():
        assert time.monotonic() < end, what() if callable(what) else what
        time.sleep(0.05)
