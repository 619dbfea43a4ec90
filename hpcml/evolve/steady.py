"""Evolution without generations: each individual that has been evaluated is followed by another at once."""

import logging
import queue
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpcml.data.deap import add_individual_note
from hpcml.errors import HpcmlError
from hpcml.evolve.random_streams import Evaluation, get_states, keep_states, new_seed, set_fitness, set_states
from hpcml.evolve.saved_state import pack_state, unpack_state
from hpcml.evolve.state import best_of, restore_best
from hpcml.evolve.strategies import get_strategies, set_strategies
from hpcml.journal.checkpoint import Checkpoint

__all__ = ["Arrival", "steady_state"]

log = logging.getLogger("hpcml")

_KEPT = ("population", "first", "sent", "taken", "last", "seed", "_individuals")  # what a flight goes on from


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
    checkpoint: str | Path | None = None,
    every: int = 1,
    every_seconds: float = 1.0,
) -> Iterator[Arrival]:
    """Evolve `population` in place, without waiting for the slowest, and yield each arrival.

    When one individual has been evaluated it replaces the worst of the population, if it is better
    (``toolbox.replace(population, individual)`` where that is registered), and another one is made of those that
    are there then: two are selected, mate, and the first mutates. Those of the first population that have not
    arrived when the loop ends, or is left, are in the list all the same.

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
    checkpoint, every, every_seconds
        A file for the state of the evolution after so many arrivals and what the loop does with them, if so many
        seconds have passed since the last time. Where it is there already, the evolution goes on from it: what was
        being evaluated then is evaluated again, with the same random numbers.

    Raises
    ------
    ValueError
        The population is empty, or a number less than 1; `order` is not that of an evolution with this population
        and `in_flight`.
    TypeError
        An evaluation returned what can be no fitness.
    HpcmlError
        The checkpoint is that of a population of another size, not this user's own, in use by another process, or
        cannot be written there; or a class of DEAP's creator, or what is registered in the toolbox, is not as it
        was.
    """
    if not population or evaluations < 1 or (in_flight is not None and in_flight < 1):
        raise ValueError(
            f"a population of {len(population)}, evaluations={evaluations}, in_flight={in_flight}: "
            "each must be 1 or more"
        )
    with nullcontext() if checkpoint is None else Checkpoint(checkpoint, every, every_seconds) as file:
        flight = _Flight(toolbox, executor, population, halloffame)
        width = min(in_flight or 2 * int(getattr(executor, "slots", 1)), len(flight.first), evaluations)
        try:
            if file is not None and file.exists():
                flight.restore(file.read(), file.path)
            yield from _arrivals(flight, evaluations, width, order, file)
        finally:
            flight.cancel()


def _arrivals(
    flight: "_Flight", evaluations: int, width: int, order: Sequence[int] | None, file: Checkpoint | None
) -> Iterator[Arrival]:
    wanted = iter(()) if order is None else iter(order[len(flight.taken) :])
    if len(flight.taken) >= evaluations:  # it had come to its end: the caller wants to see that
        yield Arrival(flight.taken[-1], flight.last, flight.population, flight.taken, 0.0)
    flight.send_again()
    while flight.flying < width and flight.sent < evaluations:  # none flies where one that had ended goes on
        flight.send()
    while len(flight.taken) < evaluations:
        began = time.monotonic()
        number = flight.next(None if order is None else next(wanted, -1))
        individual = flight.take(number)
        if flight.sent < evaluations:
            flight.send()
        yield Arrival(number, individual, flight.population, flight.taken, time.monotonic() - began)
        if file is not None:
            file.offer(flight.save, last=len(flight.taken) == evaluations)


class _Flight:
    """The individuals that are being evaluated, and those that have been."""

    def __init__(self, toolbox: Any, executor: Executor, population: list[Any], halloffame: Any) -> None:
        self.toolbox = toolbox
        self.executor = executor
        self.population = population
        self.halloffame = halloffame
        self.first = list(population)
        self.sent = 0
        self.taken: list[int] = []
        self.last: Any = None  # that was taken
        self.seed = new_seed()
        population.clear()  # it fills again as they arrive
        self._individuals: dict[int, Any] = {}
        self._futures: dict[int, Future[Any]] = {}
        self._arrived: queue.SimpleQueue[int] = queue.SimpleQueue()

    @property
    def flying(self) -> int:
        """Number of individuals that are being evaluated."""
        return len(self._futures)

    def send(self) -> None:
        """Have the next individual evaluated: one of the first, or a new one."""
        number = self.sent
        self._individuals[number] = self.first[number] if number < len(self.first) else self._make()
        self.sent += 1
        self._submit(number)

    def send_again(self) -> None:
        """Have those evaluated that a run before was waiting for."""
        for number in self._individuals:
            self._submit(number)

    def _submit(self, number: int) -> None:
        evaluate = Evaluation(self.toolbox.evaluate, self.seed)
        with keep_states():  # an executor may run it here
            future = self.executor.submit(evaluate, self._individuals[number], number)
        self._futures[number] = future
        future.add_done_callback(lambda _: self._arrived.put(number))

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
        """Put an individual that has its fitness into the population; raise what its evaluation raised."""
        individual = self._individuals[number]
        try:
            values = self._futures.pop(number).result()
        except Exception as error:  # on a Cluster the worker has said so, or it is no error of the evaluation
            if not isinstance(error, HpcmlError) and not getattr(error, "__notes__", None):
                add_individual_note(error, [individual])
            raise
        set_fitness(individual, values)
        del self._individuals[number]
        self.taken.append(number)
        self.last = individual
        if self.halloffame is not None:
            self.halloffame.update([individual])
        self._place(individual, number)
        return individual

    def _place(self, individual: Any, number: int) -> None:
        if number < len(self.first):
            self.population.append(individual)
        elif hasattr(self.toolbox, "replace"):
            self.toolbox.replace(self.population, individual)
        else:
            worst = min(range(len(self.population)), key=lambda place: self.population[place].fitness)
            if self.population[worst].fitness < individual.fitness:
                self.population[worst] = individual

    def save(self) -> bytes:
        """Return all of it as bytes."""
        kept = {name: getattr(self, name) for name in _KEPT}
        kept["halloffame"] = best_of(self.halloffame)
        kept["strategies"] = get_strategies(self.toolbox)
        return pack_state(("steady_state", len(self.first)), {**kept, "states": get_states()})

    def restore(self, saved: bytes, path: Path) -> None:
        """Go on from what `save` returned, and was read from `path`."""
        kept = unpack_state(saved, ("steady_state", len(self.first)), path)
        set_strategies(self.toolbox, kept["strategies"], path)
        log.warning("going on after %d evaluations of %s", len(kept["taken"]), path)
        self.population[:] = kept.pop("population")
        restore_best(self.halloffame, kept.pop("halloffame"), self.population)
        set_states(kept["states"])
        for name in set(_KEPT) - {"population"}:
            setattr(self, name, kept[name])

    def cancel(self) -> None:
        """Give up what is not there yet; those of the first population that are not go back into it."""
        for future in self._futures.values():
            future.cancel()
        arrived = set(self.taken)
        self.population.extend(one for number, one in enumerate(self.first) if number not in arrived)
