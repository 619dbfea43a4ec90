"""All that an evolution goes on from: what a checkpoint holds."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpcml.errors import HpcmlError
from hpcml.evolve.algorithms import Algorithm
from hpcml.evolve.random_streams import get_states, new_seed, set_states
from hpcml.evolve.saved_state import pack_state, unpack_state
from hpcml.evolve.strategies import get_strategies, set_strategies

__all__ = ["Generation", "State", "best_of", "restore_best"]

_KEPT = ("population", "began", "logbook", "number", "evaluated", "seed")

log = logging.getLogger("hpcml")


@dataclass
class Generation:
    """A generation that has been evaluated.

    Parameters
    ----------
    number
        It counts from 0, as in DEAP's logbooks.
    population
        The list that the caller gave, as it is now.
    evaluated
        How many individuals were evaluated.
    seconds
        The wall time that all of it took.
    """

    number: int
    population: list[Any]
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
        self, algorithm: Algorithm, toolbox: Any, population: list[Any], stats: Any, halloffame: Any
    ) -> None:
        from deap import tools

        self.algorithm = algorithm
        self.toolbox = toolbox
        self.population = population
        self.halloffame = halloffame
        self._stats = stats
        self.began = len(population)  # the size
        self.number = -1  # of the last generation
        self.evaluated = 0  # in all generations together
        self.seed: str | None = None  # of the streams of the evaluations
        self.logbook = tools.Logbook()
        self.logbook.header = ["gen", "nevals", *(stats.fields if stats is not None else [])]

    def advance(self, population: list[Any], evaluated: int) -> None:
        """Take the next generation, and write it into the logbook."""
        self.population[:] = population
        self.number += 1
        self.evaluated += evaluated
        record = {} if self._stats is None else self._stats.compile(self.population)
        self.logbook.record(gen=self.number, nevals=evaluated, **record)

    def generation(self, evaluated: int, seconds: float) -> Generation:
        """Return what the caller sees."""
        return Generation(self.number, self.population, self.logbook, self.halloffame, evaluated, seconds)

    def save(self) -> bytes:
        """Return all of it as bytes."""
        kept = {name: getattr(self, name) for name in _KEPT}
        kept["halloffame"] = best_of(self.halloffame)
        kept["strategies"] = get_strategies(self.toolbox)
        return pack_state(self.algorithm, {**kept, "states": get_states()})

    def restore(self, saved: bytes, path: Path) -> None:
        """Go on from what `save` returned, and was read from `path`; streams are there or not as here."""
        kept = unpack_state(saved, self.algorithm, path)
        if self.population and len(self.population) != kept["began"]:
            raise HpcmlError(
                f"{path} is the checkpoint of an evolution that began with {kept['began']} individuals, and this "
                f"population has {len(self.population)}: give as many, or none, or remove the file to begin anew"
            )
        set_strategies(self.toolbox, kept["strategies"], path)
        log.warning("going on from generation %d of %s", kept["number"], path)
        vars(self.algorithm).update(vars(kept["about"]))
        self.population[:] = kept["population"]
        restore_best(self.halloffame, kept["halloffame"], self.population)
        kept["logbook"].resumed = [*getattr(kept["logbook"], "resumed", ()), kept["number"] + 1]
        set_states(kept["states"])
        for name in ("began", "logbook", "number", "evaluated"):
            setattr(self, name, kept[name])
        if self.seed is not None:  # with streams
            self.seed = kept["seed"] or new_seed()


def best_of(halloffame: Any) -> tuple[str, dict[str, Any]] | None:
    """Return what a hall of fame holds, without its function, which may be a lambda."""
    if halloffame is None:
        return None
    held = {name: value for name, value in vars(halloffame).items() if name != "similar"}
    return type(halloffame).__qualname__, held


def restore_best(halloffame: Any, kept: tuple[str, dict[str, Any]] | None, population: list[Any]) -> None:
    """Have a hall of fame hold what `best_of` returned, as far as it can; or the best of `population`."""
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
