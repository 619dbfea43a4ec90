"""State of an evolution by generations, and its checkpoint."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpcml.errors import HpcmlError
from hpcml.evolve.interface import Algorithm, Population, Toolbox
from hpcml.evolve.random_streams import get_states, new_seed, set_states
from hpcml.evolve.saved_state import pack_state, unpack_state
from hpcml.evolve.strategies import get_strategies, set_strategies

__all__ = ["Generation", "State", "halloffame_content", "restore_halloffame"]

_SAVED = ("population", "began", "logbook", "number", "evaluated", "seed")

log = logging.getLogger("hpcml")


@dataclass
class Generation:
    """A generation that has been evaluated.

    Parameters
    ----------
    number
        Counted from 0, as in DEAP's logbooks.
    population
        The caller's list, as it is now.
    evaluated
        Number of individuals that were evaluated.
    seconds
        Wall time of the whole generation.
    """

    number: int
    population: Population
    logbook: Any
    halloffame: Any
    evaluated: int
    seconds: float


class State:
    """An evolution between two generations.

    Parameters
    ----------
    population
        The caller's list; it is changed in place.
    """

    def __init__(
        self, algorithm: Algorithm, toolbox: Toolbox, population: Population, stats: Any, halloffame: Any
    ) -> None:
        from deap import tools

        self.algorithm = algorithm
        self.toolbox = toolbox
        self.population = population
        self.halloffame = halloffame
        self._stats = stats
        self.began = len(population)  # the size of the first population
        self.number = -1  # of the last generation
        self.evaluated = 0  # in all generations together
        self.seed: str | None = None  # of the evaluations' streams of random numbers
        self.logbook = tools.Logbook()
        self.logbook.header = ["gen", "nevals", *(stats.fields if stats is not None else [])]

    def advance(self, population: Population, evaluated: int) -> None:
        """Take the next generation, and record it in the logbook."""
        self.population[:] = population
        self.number += 1
        self.evaluated += evaluated
        record = {} if self._stats is None else self._stats.compile(self.population)
        self.logbook.record(gen=self.number, nevals=evaluated, **record)

    def generation(self, evaluated: int, seconds: float) -> Generation:
        """Return the last generation, for the caller."""
        return Generation(self.number, self.population, self.logbook, self.halloffame, evaluated, seconds)

    def save(self) -> bytes:
        """Return the content of a checkpoint."""
        saved = {name: getattr(self, name) for name in _SAVED}
        saved["halloffame"] = halloffame_content(self.halloffame)
        saved["strategies"] = get_strategies(self.toolbox)
        return pack_state(self.algorithm, {**saved, "states": get_states()})

    def restore(self, packed: bytes, path: Path) -> None:
        """Take the state that `save` returned, read from `path`; whether there are streams stays as it is here."""
        saved = unpack_state(packed, self.algorithm, path)
        if self.population and len(self.population) != saved["began"]:
            raise HpcmlError(
                f"{path} is the checkpoint of an evolution that began with {saved['began']} individuals, and this "
                f"population has {len(self.population)}: give as many, or none, or remove the file to begin anew"
            )
        set_strategies(self.toolbox, saved["strategies"], path)
        log.warning("resuming from generation %d of %s", saved["number"], path)
        vars(self.algorithm).update(vars(saved["about"]))
        self.population[:] = saved["population"]
        restore_halloffame(self.halloffame, saved["halloffame"], self.population)
        saved["logbook"].resumed = [*getattr(saved["logbook"], "resumed", ()), saved["number"] + 1]
        set_states(saved["states"])
        for name in ("began", "logbook", "number", "evaluated"):
            setattr(self, name, saved[name])
        if self.seed is not None:  # this evolution has streams
            self.seed = saved["seed"] or new_seed()


def halloffame_content(halloffame: Any) -> tuple[str, dict[str, Any]] | None:
    """Return the content of a hall of fame, without its function, which may be a lambda."""
    if halloffame is None:
        return None
    held = {name: value for name, value in vars(halloffame).items() if name != "similar"}
    return type(halloffame).__qualname__, held


def restore_halloffame(halloffame: Any, kept: tuple[str, dict[str, Any]] | None, population: Population) -> None:
    """Fill a hall of fame with the content that `halloffame_content` returned; with None, from `population`.

    A hall of another type or size takes the individuals that it has room for.
    """
    if halloffame is None:
        return
    if kept is None:
        halloffame.update(population)
        return
    kind, held = kept
    if (kind, held.get("maxsize")) == (type(halloffame).__qualname__, getattr(halloffame, "maxsize", None)):
        vars(halloffame).update(held)
    else:
        halloffame.clear()
        halloffame.update(held["items"])
