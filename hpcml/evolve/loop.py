"""The loop over generations, the same for all algorithms; see `generations`."""

import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from hpcml.evolve.interface import Algorithm, Toolbox
from hpcml.evolve.random_streams import evaluate_all, new_seed
from hpcml.evolve.state import Generation, State
from hpcml.evolve.strategies import check_strategies
from hpcml.journal.checkpoint import Checkpoint

__all__ = ["generations"]


def generations(
    algorithm: Algorithm,
    toolbox: Toolbox,
    ngen: int,
    population: list[Any] | None = None,
    *,
    stats: Any = None,
    halloffame: Any = None,
    checkpoint: str | Path | None = None,
    every: int = 1,
    every_seconds: float = 0.0,
    streams: bool = True,
) -> Iterator[Generation]:
    """Evolve `population` in place, and yield each generation.

    The same seed of `random` and `numpy.random` gives the logbook that DEAP's function of the algorithm gives,
    whatever ``toolbox.map`` is. Leaving the loop ends the evolution; the next one from its checkpoint begins with
    the generation in which the loop was left.

    Parameters
    ----------
    algorithm
        One of those in `hpcml.evolve`.
    toolbox
        DEAP's, with the functions that the algorithm needs.
    ngen
        Number of the last generation; with a strategy that generates, number of generations.
    stats, halloffame
        DEAP's, or None.
    checkpoint
        A file for the state of the evolution after each generation and the body of the loop. If the file exists,
        the evolution continues with the next generation; of one that has ended, the last is yielded again.
    every, every_seconds
        Write the file after so many generations, if so many seconds have passed since the last time.
    streams
        Give each evaluation a stream of random numbers of its own, which takes about 10 us each. Without streams,
        the numbers that an evaluation draws depend on the worker and on the evaluations before it.

    Raises
    ------
    ValueError
        The algorithm cannot begin with this population. Or a checkpoint is wanted, and the strategy that generates
        cannot be found: register its bound methods.
    HpcmlError
        The checkpoint is another algorithm's, that of a population of another size, not this user's own, in use by
        another process, or cannot be written there. Or a class of DEAP's creator, or an object registered in the
        toolbox, is not as it was.

    Examples
    --------
    >>> import random
    >>> from deap import base, creator, tools
    >>> from hpcml import evolve
    >>> creator.create("Highest", base.Fitness, weights=(1.0,))
    >>> creator.create("Word", list, fitness=creator.Highest)
    >>> toolbox = base.Toolbox()
    >>> toolbox.register("evaluate", lambda word: (sum(word),))
    >>> toolbox.register("mate", tools.cxTwoPoint)
    >>> toolbox.register("mutate", tools.mutFlipBit, indpb=0.1)
    >>> toolbox.register("select", tools.selTournament, tournsize=3)
    >>> random.seed(1)
    >>> population = [creator.Word(random.choices((0, 1), k=20)) for _ in range(50)]
    >>> for generation in evolve.generations(evolve.EaSimple(0.5, 0.2), toolbox, 40, population):
    ...     if max(map(sum, population)) == 20:
    ...         break
    >>> generation.number < 40
    True
    """
    if checkpoint is not None and algorithm.generates:
        check_strategies(toolbox)
    state = State(algorithm, toolbox, [] if population is None else population, stats, halloffame)
    state.seed = new_seed() if streams else None
    with nullcontext() if checkpoint is None else Checkpoint(checkpoint, every, every_seconds) as file:
        yield from _evolve(state, ngen, file)


def _evolve(state: State, ngen: int, file: Checkpoint | None) -> Iterator[Generation]:
    algorithm = state.algorithm
    if file is not None and file.exists():
        state.restore(file.read(), file.path)
    if state.number < 0 and hasattr(algorithm, "check"):  # an algorithm of the user's may have none
        algorithm.check(state.population)
    last = ngen - 1 if algorithm.generates else ngen
    if state.number >= last:  # the evolution has ended already: its caller still sees the result
        yield state.generation(0, 0.0)
    while state.number < last:
        began = time.monotonic()
        evaluated = _evolve_generation(state)
        yield state.generation(evaluated, time.monotonic() - began)
        # A generation is complete only after the body of the caller's loop: a checkpoint before that would skip
        # the rest of the body when the evolution is resumed.
        if file is not None:
            file.offer(state.save, last=state.number == last)


def _evolve_generation(state: State) -> int:
    """Make and evaluate the next generation, and return the number of evaluations."""
    generates = state.algorithm.generates
    first = state.number < 0 and not generates
    offspring = state.population if first else state.algorithm.vary(state.population, state.toolbox)
    invalid = [one for one in offspring if generates or not one.fitness.valid]
    evaluate_all(state.toolbox, invalid, state.seed, state.evaluated)
    if state.halloffame is not None:
        state.halloffame.update(offspring)
    if first:
        survivors = state.algorithm.begin(state.population, state.toolbox)
    else:
        survivors = state.algorithm.survive(state.population, offspring, state.toolbox)
    state.advance(survivors, len(invalid))
    return len(invalid)
