"""All that an evolution goes on from: what a checkpoint holds."""

import logging
import pickle
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hpcml.errors import HpcmlError
from hpcml.evolve.algorithms import Algorithm
from hpcml.evolve.streams import get_states, set_states
from hpcml.payload import dumps_result

__all__ = ["Generation", "State"]

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

        self.algorithm, self.toolbox, self.population = algorithm, toolbox, population
        self.halloffame, self._stats = halloffame, stats
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
        """Return all of it as bytes; in one pickle, for individuals may be in several places."""
        best = None if self.halloffame is None else _without(vars(self.halloffame), "similar")
        kept = {
            "versions": _versions(),
            "algorithm": self.algorithm,
            "population": self.population,
            "halloffame": best,
            "strategy": [vars(strategy) for strategy in _strategies(self.toolbox)],
            "logbook": self.logbook,
            "number": self.number,
            "evaluated": self.evaluated,
            "seed": self.seed,
            "states": get_states(),
        }
        return dumps_result(kept)

    def restore(self, saved: bytes, path: Path) -> None:
        """Go on from what `save` returned, and was read from `path`."""
        kept = pickle.loads(saved)
        if kept["algorithm"] != self.algorithm:
            raise HpcmlError(
                f"{path} is the checkpoint of {kept['algorithm']}, and this is {self.algorithm}: "
                "remove the file to begin anew, or give another"
            )
        if kept["versions"] != _versions():
            log.warning("%s was written with %s: results may differ in the last digits", path, kept["versions"])
        log.warning("going on from generation %d of %s", kept["number"], path)
        vars(self.algorithm).update(vars(kept["algorithm"]))
        self.population[:] = kept["population"]
        if self.halloffame is not None and kept["halloffame"] is not None:
            vars(self.halloffame).update(kept["halloffame"])
        for strategy, attributes in zip(_strategies(self.toolbox), kept["strategy"], strict=True):
            vars(strategy).update(attributes)
        kept["logbook"].resumed = [*getattr(kept["logbook"], "resumed", ()), kept["number"] + 1]
        for name in ("logbook", "number", "evaluated", "seed"):
            setattr(self, name, kept[name])
        set_states(kept["states"])


def _strategies(toolbox: Any) -> list[Any]:
    """Return the objects whose methods generate individuals and are updated with them, each once."""
    found: dict[int, Any] = {}
    for name in ("generate", "update"):
        owner = getattr(getattr(getattr(toolbox, name, None), "func", None), "__self__", None)
        if hasattr(owner, "__dict__"):
            found[id(owner)] = owner
    return list(found.values())


def _without(attributes: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if name not in names}


def _versions() -> dict[str, str]:
    found = {name: version(name) for name in ("deap", "numpy")}
    return {"python": ".".join(map(str, sys.version_info[:2])), **found}
