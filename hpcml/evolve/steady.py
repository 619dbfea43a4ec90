"""Evolution without generations: each individual that has been evaluated is followed by another at once."""

import queue
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any

from hpcml.evolve.streams import Evaluation, keep_states, new_seed

__all__ = ["Arrival", "steady_state"]


@dataclass
class Arrival:
    """An individual that has been evaluated.

    Parameters
    ----------
    number
        In the order in which individuals were made, from 0.
    individual
        With its fitness.
    population
        The list that the caller gave, after this individual has taken its place in it, or not.
    order
        The numbers of all arrivals so far: given again, they give the same evolution again.
    """

    number: int
    individual: Any
    population: list[Any]
    order: list[int]
    seconds: float


def steady_state(
    toolbox: Any,
    population: list[Any],
    evaluations: int,
    executor: Executor,
    *,
    in_flight: int | None = None,
    halloffame: Any = None,
    order: Sequence[int] | None = None,
) -> Iterator[Arrival]:
    """Evolve `population` in place, without waiting for the slowest, and yield each arrival.

    When one individual has been evaluated it replaces the worst of the population, if it is better
    (``toolbox.replace(population, individual)`` where that is registered), and another one is made of those that
    are there then: two are selected, mate, and the first mutates.

    Parameters
    ----------
    evaluations
        How many individuals are evaluated, those of the first population included.
    executor
        A Cluster, or any executor.
    in_flight
        How many are being evaluated at any time; by default twice the slots, so that no worker waits.
    halloffame
        DEAP's, or None.
    order
        The order of an evolution before: individuals are taken in this order, whenever they arrive.

    Raises
    ------
    ValueError
        `order` is not that of an evolution with this population and `in_flight`.
    """
    flight = _Flight(toolbox, executor, population)
    width = min(in_flight or 2 * int(getattr(executor, "slots", 1)), len(flight.first), evaluations)
    wanted = iter(()) if order is None else iter(order)
    taken: list[int] = []
    try:
        for _ in range(width):
            flight.send()
        while len(taken) < evaluations:
            began = time.monotonic()
            number = flight.next(None if order is None else next(wanted, -1))
            individual = flight.take(number)
            taken.append(number)
            if halloffame is not None:
                halloffame.update([individual])
            flight.place(individual, number)
            if flight.sent < evaluations:
                flight.send()
            yield Arrival(number, individual, population, taken, time.monotonic() - began)
    finally:
        flight.cancel()


class _Flight:
    """The individuals that are being evaluated."""

    def __init__(self, toolbox: Any, executor: Executor, population: list[Any]) -> None:
        self.toolbox, self.executor, self.population = toolbox, executor, population
        self.first = list(population)
        self.sent = 0
        population.clear()  # it fills again as they arrive
        self._evaluate = Evaluation(toolbox.evaluate, new_seed())
        self._individuals: dict[int, Any] = {}
        self._futures: dict[int, Future[Any]] = {}
        self._arrived: queue.SimpleQueue[int] = queue.SimpleQueue()

    def send(self) -> None:
        """Have the next individual evaluated: one of the first, or a new one."""
        number = self.sent
        individual = self.first[number] if number < len(self.first) else self._make()
        self._individuals[number] = individual
        with keep_states():  # an executor may run it here
            future = self.executor.submit(self._evaluate, individual, number)
        self._futures[number] = future
        future.add_done_callback(lambda _: self._arrived.put(number))
        self.sent += 1

    def _make(self) -> Any:
        parents = self.population if len(self.population) > 1 else self.population * 2
        one, other = (self.toolbox.clone(parent) for parent in self.toolbox.select(parents, 2))
        self.toolbox.mate(one, other)
        self.toolbox.mutate(one)
        del one.fitness.values
        return one

    def next(self, wanted: int | None) -> int:
        """Return the number of one that has been evaluated: the next to arrive, or the one that is `wanted`."""
        if wanted is None:
            return self._arrived.get()
        if wanted not in self._futures:
            raise ValueError(f"individual {wanted} is not being evaluated now: this order is of another evolution")
        return wanted

    def take(self, number: int) -> Any:
        """Return an individual with its fitness; raise what its evaluation raised."""
        individual = self._individuals.pop(number)
        individual.fitness.values = self._futures.pop(number).result()
        return individual

    def place(self, individual: Any, number: int) -> None:
        """Put an individual into the population."""
        if number < len(self.first):
            self.population.append(individual)
        elif hasattr(self.toolbox, "replace"):
            self.toolbox.replace(self.population, individual)
        else:
            worst = min(range(len(self.population)), key=lambda place: self.population[place].fitness)
            if self.population[worst].fitness < individual.fitness:
                self.population[worst] = individual

    def cancel(self) -> None:
        """Give up what is not there yet."""
        for future in self._futures.values():
            future.cancel()
