"""Evaluations of an evolution without generations that are running; see `hpcml.evolve.steady_state`."""

import logging
import queue
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

from hpcml.data.deap import add_individual_note
from hpcml.errors import HpcmlError
from hpcml.evolve.interface import Population, Toolbox
from hpcml.evolve.random_streams import Evaluation, get_states, keep_states, new_seed, set_fitness, set_states
from hpcml.evolve.saved_state import pack_state, unpack_state
from hpcml.evolve.state import halloffame_content, restore_halloffame
from hpcml.evolve.strategies import get_strategies, set_strategies

__all__ = ["PendingEvaluations"]

log = logging.getLogger("hpcml")

_SAVED = ("population", "first", "sent", "taken", "last", "seed", "_individuals")
"""Attributes that a checkpoint holds, under these names."""


class PendingEvaluations:
    """Evaluations that are running, and the individuals that have been evaluated."""

    def __init__(self, toolbox: Toolbox, executor: Executor, population: Population, halloffame: Any) -> None:
        self.toolbox = toolbox
        self.executor = executor
        self.population = population
        self.halloffame = halloffame
        self.first = list(population)
        self.sent = 0
        self.taken: list[int] = []
        self.last: Any = None  # individual that was taken
        self.seed = new_seed()
        population.clear()  # filled again as they arrive
        self._individuals: dict[int, Any] = {}
        self._futures: dict[int, Future[Any]] = {}
        self._arrived: queue.SimpleQueue[int] = queue.SimpleQueue()

    @property
    def in_flight(self) -> int:
        """Number of individuals that are being evaluated."""
        return len(self._futures)

    def send(self) -> None:
        """Send the next individual: one of the first population, or a new one."""
        number = self.sent
        self._individuals[number] = self.first[number] if number < len(self.first) else self._make()
        self.sent += 1
        self._submit(number)

    def send_again(self) -> None:
        """Send the individuals that were being evaluated when the checkpoint was written."""
        for number in self._individuals:
            self._submit(number)

    def _submit(self, number: int) -> None:
        evaluate = Evaluation(self.toolbox.evaluate, self.seed)
        with keep_states():  # an executor may run the evaluation in this process
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

    def wait(self, wanted: int | None) -> int:
        """Return the number of an individual that is to be taken: the next to arrive, or `wanted`."""
        if wanted is None:
            return self._arrived.get()
        if wanted not in self._futures:
            raise ValueError(f"individual {wanted} is not being evaluated now: this order is of another evolution")
        return wanted

    def take(self, number: int) -> Any:
        """Wait for an individual, and place it in the population; raise the error of its evaluation."""
        individual = self._individuals[number]
        try:
            values = self._futures.pop(number).result()
        except Exception as error:
            # A worker of a Cluster has added the note already; an HpcmlError is no error of the evaluation.
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
        """Return the content of a checkpoint."""
        saved = {name: getattr(self, name) for name in _SAVED}
        saved["halloffame"] = halloffame_content(self.halloffame)
        saved["strategies"] = get_strategies(self.toolbox)
        return pack_state(("steady_state", len(self.first)), {**saved, "states": get_states()})

    def restore(self, packed: bytes, path: Path) -> None:
        """Take the state that `save` returned, read from `path`."""
        saved = unpack_state(packed, ("steady_state", len(self.first)), path)
        set_strategies(self.toolbox, saved["strategies"], path)
        log.warning("resuming after %d evaluations of %s", len(saved["taken"]), path)
        self.population[:] = saved.pop("population")
        restore_halloffame(self.halloffame, saved.pop("halloffame"), self.population)
        set_states(saved["states"])
        for name in set(_SAVED) - {"population"}:
            setattr(self, name, saved[name])

    def cancel(self) -> None:
        """Cancel the evaluations; put individuals of the first population that have not arrived back into it."""
        for future in self._futures.values():
            future.cancel()
        arrived = set(self.taken)
        self.population.extend(one for number, one in enumerate(self.first) if number not in arrived)
