"""Islands: populations that evolve by themselves and now and then send their best to each other."""

import copy
import functools
import pickle
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hpcml.evolve.algorithms import Algorithm
from hpcml.evolve.loop import generations
from hpcml.evolve.streams import get_states, keep_states, set_states, states_of
from hpcml.payload import dumps_result

__all__ = ["Epoch", "Island", "islands"]

TOPOLOGIES = ("ring", "random")


@dataclass
class Island:
    """A population with random numbers of its own.

    Parameters
    ----------
    generation
        How many have been evolved.
    """

    population: list[Any]
    algorithm: Any
    states: Any
    logbook: Any = None
    generation: int = 0


@dataclass
class Epoch:
    """What is there after the islands have evolved and before they send their best to each other.

    Parameters
    ----------
    number
        From 1.
    """

    number: int
    islands: list[Island]

    @property
    def populations(self) -> list[list[Any]]:
        """The population of each island."""
        return [island.population for island in self.islands]

    @property
    def best(self) -> Any:
        """The best individual of all."""
        return max((one for population in self.populations for one in population), key=lambda one: one.fitness)


def islands(
    algorithm: Algorithm,
    toolbox: Any,
    populations: Sequence[list[Any]],
    ngen: int,
    *,
    every: int = 5,
    migrants: int = 1,
    topology: str = "ring",
    seed: int = 0,
    stats: Any = None,
    comm: Any = None,
) -> Iterator[Epoch]:
    """Evolve islands at once, one task each, and yield after each epoch; the same whatever they run on.

    Parameters
    ----------
    algorithm, toolbox
        As for `hpcml.evolve.generations`; ``toolbox.map`` runs the islands, each of which evaluates its
        individuals where it is. Strategies that generate (`hpcml.evolve.EaGenerateUpdate`) have no islands.
    populations
        One list for each island.
    ngen, every
        Generations in all, and how many between two migrations: an epoch.
    migrants
        How many of the best go from each island, where they take the place of the worst.
    topology
        ``"ring"``: to the next island; ``"random"``: along a ring in another order each time.
    seed
        Of the streams of random numbers, one for each island and one for the migration.
    stats
        DEAP's, or None: each island has a logbook.
    comm
        A communicator of mpi4py, on whose ranks the islands run in place of ``toolbox.map``: all ranks call this
        with the same arguments, and see the same.

    Examples
    --------
    >>> import random
    >>> from deap import base, creator, tools
    >>> from hpcml import evolve
    >>> creator.create("Most", base.Fitness, weights=(1.0,))
    >>> creator.create("Row", list, fitness=creator.Most)
    >>> toolbox = base.Toolbox()
    >>> toolbox.register("evaluate", lambda row: (sum(row),))
    >>> toolbox.register("mate", tools.cxTwoPoint)
    >>> toolbox.register("mutate", tools.mutFlipBit, indpb=0.1)
    >>> toolbox.register("select", tools.selTournament, tournsize=3)
    >>> random.seed(1)
    >>> populations = [[creator.Row(random.choices((0, 1), k=20)) for _ in range(20)] for _ in range(3)]
    >>> for epoch in evolve.islands(evolve.EaSimple(0.5, 0.2), toolbox, populations, 40):
    ...     pass
    >>> epoch.number, epoch.best.fitness.values
    (8, (20.0,))
    """
    if topology not in TOPOLOGIES:
        raise ValueError(f"topology={topology!r}: there are {' and '.join(map(repr, TOPOLOGIES))}")
    if algorithm.generates:
        raise ValueError("a strategy that generates has no population to migrate: run several, with other seeds")
    inner = copy.copy(toolbox)
    inner.register("map", map)
    found = [
        Island(population, copy.deepcopy(algorithm), states_of(f"{seed} island {number}"))
        for number, population in enumerate(populations)
    ]
    order = random.Random(f"{seed} migration")
    for epoch in range(1, -(-ngen // every) + 1):
        span = min(every, ngen - (epoch - 1) * every)
        evolve = functools.partial(_evolve, toolbox=inner, span=span, stats=stats)
        found = list(toolbox.map(evolve, found)) if comm is None else _on_ranks(evolve, found, comm)
        yield Epoch(epoch, found)
        _migrate([island.population for island in found], migrants, topology, order, toolbox)


def _on_ranks(evolve: Callable[[Island], Island], found: list[Island], comm: Any) -> list[Island]:
    mine = [evolve(island) for island in found[comm.rank :: comm.size]]
    everyone = [pickle.loads(packed) for packed in comm.allgather(dumps_result(mine))]
    return [everyone[number % comm.size][number // comm.size] for number in range(len(found))]


def _evolve(island: Island, toolbox: Any, span: int, stats: Any) -> Island:
    """Evolve one island for so many generations, with its own random numbers."""
    with keep_states():
        set_states(island.states)
        *_, last = generations(island.algorithm, toolbox, span, island.population, stats=stats)
        island.states = get_states()
    records = list(last.logbook)
    if island.logbook is None:
        island.logbook = last.logbook
    else:  # generation 0 of this part is the last of the part before
        for record in records[1:]:
            island.logbook.record(**{**record, "gen": record["gen"] + island.generation})
    island.generation += span
    return island


def _migrate(
    populations: list[list[Any]], migrants: int, topology: str, order: random.Random, toolbox: Any
) -> None:
    """Send copies of the best of each island to another, where they take the place of the worst."""
    ring = list(range(len(populations)))
    if topology == "random":
        order.shuffle(ring)
    ranked = [sorted(range(len(p)), key=lambda n, p=p: p[n].fitness, reverse=True) for p in populations]  # type: ignore[misc]
    leaving = [
        [toolbox.clone(population[place]) for place in places[:migrants]]
        for population, places in zip(populations, ranked, strict=True)
    ]
    for position, source in enumerate(ring):
        target = ring[(position + 1) % len(ring)]
        for place, one in zip(reversed(ranked[target]), leaving[source], strict=False):
            populations[target][place] = one
