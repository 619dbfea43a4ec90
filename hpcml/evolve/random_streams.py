"""Random numbers for evaluations: a stream for each, whatever worker it runs on."""

import hashlib
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy

__all__ = [
    "Evaluation",
    "evaluate_all",
    "get_states",
    "keep_states",
    "new_seed",
    "set_fitness",
    "set_states",
    "states_of",
]

SHOWN = 200  # characters of a value or an individual in a message


class Evaluation:
    """Calls a function of an individual, with `random` and `numpy.random` seeded for this one evaluation.

    Parameters
    ----------
    func
        ``toolbox.evaluate``.
    seed
        Of the run.

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
    """Have `random` and `numpy.random` go on from here."""
    random.setstate(states[0])
    numpy.random.set_state(states[1])


def states_of(seed: str) -> tuple[Any, Any]:
    """Return the states that `random` and `numpy.random` begin with for a seed."""
    number = int.from_bytes(hashlib.blake2b(seed.encode(), digest_size=4).digest(), "little")
    return random.Random(seed).getstate(), numpy.random.RandomState(number).get_state()


@contextmanager
def keep_states() -> Iterator[None]:
    """Leave the random numbers here as they were, whatever draws from them meanwhile."""
    states = get_states()
    try:
        yield
    finally:
        set_states(states)


def evaluate_all(toolbox: Any, individuals: list[Any], seed: str | None, first: int) -> None:
    """Give each individual its fitness; those that follow number `first` are counted on from there.

    Raises
    ------
    ValueError
        ``toolbox.map`` has returned another number of results than there are individuals.
    TypeError
        An evaluation returned what can be no fitness.
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
    """Give an individual what its evaluation returned.

    Raises
    ------
    TypeError
        That can be no fitness; the message shows it, and the individual.
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
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
