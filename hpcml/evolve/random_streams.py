"""Streams of random numbers: one for each evaluation, the same on every worker."""

import hashlib
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy

from hpcml.evolve.interface import Population, Toolbox

__all__ = [
    "Evaluation",
    "evaluate_all",
    "get_states",
    "keep_states",
    "new_seed",
    "set_fitness",
    "set_states",
    "states_of_seed",
]

SHOWN_CHARACTERS = 200  # of a value or an individual in a message


class Evaluation:
    """Call of a function with an individual, with `random` and `numpy.random` seeded for this one evaluation.

    Parameters
    ----------
    func
        ``toolbox.evaluate``.
    seed
        Seed of the whole evolution.

    Examples
    --------
    >>> import random
    >>> from hpcml.evolve.random_streams import Evaluation, keep_states
    >>> noisy = Evaluation(lambda individual: (individual[0] + random.random(),), "a run")
    >>> with keep_states():
    ...     noisy([1.0], 7) == noisy([1.0], 7) != noisy([1.0], 8)
    True
    """

    def __init__(self, func: Callable[..., Any], seed: str) -> None:
        self.func = func
        self.seed = seed

    def __call__(self, individual: Any, number: int) -> Any:
        digest = hashlib.blake2b(f"{self.seed} {number}".encode(), digest_size=8).digest()
        stream = int.from_bytes(digest, "little")
        random.seed(stream)
        numpy.random.seed(stream & 0xFFFFFFFF)
        return self.func(individual)


def new_seed() -> str:
    """Return a seed that follows from the state of the random numbers here, without drawing any."""
    state = hashlib.blake2b(repr(random.getstate()).encode(), digest_size=16)
    state.update(numpy.random.get_state(legacy=False)["state"]["key"].tobytes())
    return state.hexdigest()


def get_states() -> tuple[Any, Any]:
    """Return the states of `random` and of `numpy.random`."""
    return random.getstate(), numpy.random.get_state()


def set_states(states: tuple[Any, Any]) -> None:
    """Set the states of `random` and of `numpy.random`."""
    random.setstate(states[0])
    numpy.random.set_state(states[1])


def states_of_seed(seed: str) -> tuple[Any, Any]:
    """Return the states that `random` and `numpy.random` begin with for a seed."""
    number = int.from_bytes(hashlib.blake2b(seed.encode(), digest_size=4).digest(), "little")
    return random.Random(seed).getstate(), numpy.random.RandomState(number).get_state()


@contextmanager
def keep_states() -> Iterator[None]:
    """Restore the states of this process' random numbers after the ``with`` block."""
    states = get_states()
    try:
        yield
    finally:
        set_states(states)


def evaluate_all(toolbox: Toolbox, individuals: Population, seed: str | None, first: int) -> None:
    """Evaluate individuals, and give each its fitness.

    Parameters
    ----------
    seed
        Seed of the streams; None: without streams.
    first
        Number of the first individual, which selects its stream; the others are counted from there.

    Raises
    ------
    ValueError
        ``toolbox.map`` has returned another number of results than there are individuals.
    TypeError
        An evaluation returned a value that cannot be a fitness.
    """
    with keep_states():
        if seed is None:
            found = list(toolbox.map(toolbox.evaluate, individuals))
        else:
            numbers = range(first, first + len(individuals))
            found = list(toolbox.map(Evaluation(toolbox.evaluate, seed), individuals, numbers))
    if len(found) != len(individuals):
        raise ValueError(
            f"toolbox.map returned {len(found)} results for {len(individuals)} individuals: use one that returns "
            "a result for each, in order, as cluster.map does"
        )
    for individual, values in zip(individuals, found, strict=True):
        set_fitness(individual, values)


def set_fitness(individual: Any, values: Any) -> None:
    """Give an individual the fitness that its evaluation returned.

    Raises
    ------
    TypeError
        The values cannot be a fitness; the message shows them, and the individual.
    """
    try:
        individual.fitness.values = values
    except (TypeError, AssertionError) as error:
        many = len(individual.fitness.weights)
        raise TypeError(
            f"toolbox.evaluate returned {_short(repr(values))} for the {type(individual).__name__} "
            f"{_short(str(individual))}: its {type(individual.fitness).__name__} takes a tuple of {many} "
            f"number{'s' if many > 1 else ', as in `return height,`'}"
        ) from error


def _short(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"
