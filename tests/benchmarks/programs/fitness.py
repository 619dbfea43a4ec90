"""Fitness functions that take a known time; importing them costs a worker little."""

import random
import time
from typing import Any


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


def busy_50us(individual: Any) -> tuple[float]:
    """Compute for 50 us."""
    until = time.perf_counter() + 50e-6
    while time.perf_counter() < until:
        pass
    return (float(individual.sum()),)


def fit_of_tree(individual: Any, compiled: Any) -> tuple[float]:
    """Compile a tree, and return how far it is from x ** 2 at 20 points."""
    function = compiled(expr=individual)
    return (sum(abs(function(x / 10) - x * x / 100) for x in range(-10, 10)),)
