"""Evolution without generations: after each evaluation the next individual is sent at once."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpcml.evolve.interface import Population, Toolbox
from hpcml.evolve.pending_evaluations import PendingEvaluations
from hpcml.journal.checkpoint import Checkpoint

__all__ = ["Arrival", "steady_state"]


@dataclass
class Arrival:
    """An individual that has been evaluated.

    Parameters
    ----------
    number
        Number of the individual, in the order in which they were made, from 0.
    individual
        With its fitness.
    population
        The caller's list, after the individual has been placed in it, or was too bad.
    order
        Numbers of all arrivals so far. Given to `steady_state`, they repeat the evolution.
    seconds
        Time of waiting for this arrival, placing it, and sending the next.
    """

    number: int
    individual: Any
    population: Population
    order: list[int]
    seconds: float


def steady_state(
    toolbox: Toolbox,
    population: Population,
    evaluations: int,
    executor: Executor,
    *,
    in_flight: int | None = None,
    halloffame: Any = None,
    order: Sequence[int] | None = None,
    checkpoint: str | Path | None = None,
    every: int = 1,
    every_seconds: float = 1.0,
) -> Iterator[Arrival]:
    """Evolve `population` in place, without waiting for the slowest, and yield each arrival.

    An individual that has been evaluated replaces the worst of the population if it is better
    (``toolbox.replace(population, individual)`` where that is registered). Then another individual is made from
    the population as it is at that moment: two are selected, mate, and the first mutates. When the loop ends, or
    is left, individuals of the first population that have not arrived are put back into the list.

    Parameters
    ----------
    evaluations
        Number of individuals that are evaluated, the first population included.
    executor
        A Cluster, or any executor.
    in_flight
        Number of evaluations at any time; by default twice the slots, so that no worker waits.
    halloffame
        DEAP's, or None.
    order
        The order of an earlier evolution: individuals are taken in this order, whenever they arrive.
    checkpoint, every, every_seconds
        A file for the state of the evolution after so many arrivals and the body of the loop, if so many seconds
        have passed since the last time. If the file exists, the evolution continues from it. Individuals that were
        being evaluated then are evaluated again, with the same random numbers.

    Raises
    ------
    ValueError
        The population is empty, or a number less than 1; `order` is not that of an evolution with this population
        and `in_flight`.
    TypeError
        An evaluation returned a value that cannot be a fitness.
    HpcmlError
        The checkpoint is that of a population of another size, not this user's own, in use by another process, or
        cannot be written there. Or a class of DEAP's creator, or an object registered in the toolbox, is not as it
        was.
    """
    if not population or evaluations < 1 or (in_flight is not None and in_flight < 1):
        raise ValueError(
            f"a population of {len(population)}, evaluations={evaluations}, in_flight={in_flight}: "
            "each must be 1 or more"
        )
    with nullcontext() if checkpoint is None else Checkpoint(checkpoint, every, every_seconds) as file:
        running = PendingEvaluations(toolbox, executor, population, halloffame)
        width = min(in_flight or 2 * int(getattr(executor, "slots", 1)), len(running.first), evaluations)
        try:
            if file is not None and file.exists():
                running.restore(file.read(), file.path)
            yield from _arrivals(running, evaluations, width, order, file)
        finally:
            running.cancel()


def _arrivals(
    running: PendingEvaluations,
    evaluations: int,
    width: int,
    order: Sequence[int] | None,
    file: Checkpoint | None,
) -> Iterator[Arrival]:
    wanted = iter(()) if order is None else iter(order[len(running.taken) :])
    if len(running.taken) >= evaluations:  # the evolution has ended already: its caller still sees the result
        yield Arrival(running.taken[-1], running.last, running.population, running.taken, 0.0)
    running.send_again()
    # None is in flight at first, nor when an evolution that had ended continues with more evaluations.
    while running.in_flight < width and running.sent < evaluations:
        running.send()
    while len(running.taken) < evaluations:
        began = time.monotonic()
        number = running.wait(None if order is None else next(wanted, -1))
        individual = running.take(number)
        if running.sent < evaluations:
            running.send()
        yield Arrival(number, individual, running.population, running.taken, time.monotonic() - began)
        if file is not None:
            file.offer(running.save, last=len(running.taken) == evaluations)
