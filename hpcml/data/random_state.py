"""Random generator of a process, pickled by reference: a task uses its worker's generator, not a copy."""

import random
import sys
from typing import Any

__all__ = ["holds_generator", "process_generator", "reduce_generator"]

# How pickles make numpy's Generator and RandomState, and random.Random.
_MADE = (b"__generator_ctor", b"__randomstate_ctor", b"\x8c\x06Random\x94\x93\x94)R")


def process_generator(library: str) -> Any:
    """Return the generator behind the functions of `random` or of `numpy.random`."""
    bound: Any = random.random
    if library == "numpy":
        import numpy

        bound = numpy.random.get_state
    return bound.__self__


def reduce_generator(thing: Any) -> tuple[Any, ...] | None:
    """Return how a pickle builds a process' own generator: as that of the process where it arrives.

    A copy would begin anew with each task, and all of them draw the same numbers. None for anything else.
    """
    kind = type(thing).__name__
    if kind == "Random" and thing is process_generator("random"):
        return process_generator, ("random",)
    if kind == "RandomState" and "numpy.random" in sys.modules and thing is process_generator("numpy"):
        return process_generator, ("numpy",)
    return None


def holds_generator(pickled: bytes) -> bool:
    """Tell whether a pickle holds a generator, of which each process that loads it gets a copy in the same state.

    Examples
    --------
    >>> import pickle, random
    >>> from hpcml.data.random_state import holds_generator
    >>> holds_generator(pickle.dumps([random.Random(1)], 5)), holds_generator(pickle.dumps(random.Random, 5))
    (True, False)
    """
    return any(how in pickled for how in _MADE)
