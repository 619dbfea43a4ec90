"""Fitness functions that take a known time; importing them costs a worker little."""

import random
import time


def busy(individual: list[int]) -> tuple[float]:
    """Compute for 10 us."""
    until = time.perf_counter() + 10e-6
    while time.perf_counter() < until:
        pass
    return (float(sum(individual)),)


def ones_after_1ms(individual: list[int]) -> tuple[float]:
    """Sleep for a millisecond."""
    time.sleep(0.001)
    return (float(sum(individual)),)


def ones_after_10ms(individual: list[int]) -> tuple[float]:
    """Sleep for ten."""
    time.sleep(0.01)
    return (float(sum(individual)),)


def uneven(individual: list[int]) -> tuple[float]:
    """Sleep for 20 to 200 ms."""
    time.sleep(random.uniform(0.02, 0.2))
    return (float(sum(individual)),)
