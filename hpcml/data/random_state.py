"""Random generator of a process, pickled by reference: a task uses its worker's generator, not a copy."""

import random
import sys
from typing import Any

__all__ = ["holds_generator", "process_generator", "reduce_generator"]

# Marks in pickles of numpy's Generator and RandomState, and of random.Random.
_GENERATOR_MARKS = (b"__generator_ctor", b"__randomstate_ctor", b"\x8c\x06Random\x94\x93\x94)R")


def process_generator(library: str) -> Any:
    """Return the generator behind the functions of `random` or of `numpy.random`."""
    bound: Any = random.random
    if library == "numpy":
        import numpy

        bound = numpy.random.get_state
    return bound.__self__


def reduce_generator(thing: object) -> tuple[Any, ...] | None:
    """Return the reduction of this process' own generator; None for any other object.

    The pickle is loaded as the own generator of the other process. A copy would start anew with each task, so that
    all tasks draw the same numbers.
    """
    kind = type(thing).__name__
    if kind == "Random" and thing is process_generator("random"):
        return process_generator, ("random",)
    if kind == "RandomState" and "numpy.random" in sys.modules and thing is process_generator("numpy"):
        return process_generator, ("numpy",)
    return None


def holds_generator(pickled: bytes) -> bool:
    """Return whether a pickle holds a generator by value: all processes that load it draw the same numbers.

    Examples
    --------
    >>> import pickle, random
    >>> from hpcml.data.random_state import holds_generator
    >>> holds_generator(pickle.dumps([random.Random(1)], 5)), holds_generator(pickle.dumps(random.Random, 5))
    (True, False)
    """
    return any(mark in pickled for mark in _GENERATOR_MARKS)
