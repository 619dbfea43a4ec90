"""One island, its evolution for an epoch, and the migration between islands.

Checkpoints hold the names of this module and of `Island`.
"""

import copy
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hpcml.evolve.interface import Population, Toolbox
from hpcml.evolve.loop import generations
from hpcml.evolve.random_streams import get_states, keep_states, set_states
from hpcml.evolve.strategies import own_selections

__all__ = ["Island", "Migration", "evolve_island"]


@dataclass
class Island:
    """A population with random numbers of its own.

    Parameters
    ----------
    generation
        Number of generations so far.
    selections
        State of the selections with a memory; None: as they are in the toolbox.
    """

    population: Population
    algorithm: Any
    states: Any
    logbook: Any = None
    generation: int = 0
    selections: Any = None


def evolve_island(island: Island, toolbox: Toolbox, span: int, stats: Any) -> Island:
    """Return a copy of an island that has evolved for `span` generations, with its own random numbers."""
    population = [toolbox.clone(one) for one in island.population]
    algorithm = copy.deepcopy(island.algorithm)
    logbook = copy.deepcopy(island.logbook)
    with keep_states(), own_selections(toolbox, island.selections) as selections_now:
        set_states(island.states)
        *_, last = generations(algorithm, toolbox, span, population, stats=stats)
        states = get_states()
        selections = selections_now()
    if logbook is None:
        logbook = last.logbook
    else:  # generation 0 of this part is the last of the part before
        for place in range(1, len(last.logbook)):
            record = _record(last.logbook, place)
            logbook.record(**{**record, "gen": record["gen"] + island.generation})
    return Island(population, algorithm, states, logbook, island.generation + span, selections)


def _record(logbook: Any, place: int) -> dict[str, Any]:
    """Return one record of a logbook, with its chapters, as `Logbook.record` takes it."""
    chapters = {name: _record(chapter, place) for name, chapter in logbook.chapters.items()}
    return {**logbook[place], **chapters}


@dataclass
class Migration:
    """Exchange of individuals: islands send their best to each other.

    Parameters
    ----------
    every
        Generations between two migrations.
    migrants, topology
        As for `hpcml.evolve.islands`.
    order
        Random numbers for the topology "random".
    clone
        ``toolbox.clone``.
    """

    every: int
    migrants: int
    topology: str
    order: random.Random
    clone: Callable[[Any], Any]

    def migrate(self, populations: list[Population]) -> None:
        """Replace the worst of each island by copies of the best of another."""
        ring = list(range(len(populations)))
        if self.topology == "random":
            self.order.shuffle(ring)
        ranked = [sorted(range(len(p)), key=lambda n, p=p: p[n].fitness, reverse=True) for p in populations]  # type: ignore[misc]
        leaving = [
            [self.clone(population[place]) for place in places[: self.migrants]]
            for population, places in zip(populations, ranked, strict=True)
        ]
        for position, source in enumerate(ring):
            target = ring[(position + 1) % len(ring)]
            for place, one in zip(reversed(ranked[target]), leaving[source], strict=False):
                populations[target][place] = one
