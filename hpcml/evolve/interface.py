"""Interfaces of evolution: the toolbox that a script gives, and the steps that an algorithm consists of.

Individuals are `Any`: their classes are made while the script runs, by `deap.creator.create`.
"""

from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Protocol

__all__ = ["Algorithm", "Population", "Toolbox"]

Population = list[Any]


class Toolbox(Protocol):
    """DEAP's toolbox (`deap.base.Toolbox`), with the functions that an algorithm needs registered.

    ``clone`` and ``map`` are there from the start, as copy.deepcopy and Python's map.
    """

    clone: Callable[[Any], Any]
    map: Callable[..., Iterable[Any]]
    evaluate: Callable[..., Any]
    mate: Callable[..., Any]
    mutate: Callable[..., Any]
    select: Callable[..., Any]
    generate: Callable[..., Any]
    update: Callable[..., Any]

    def register(self, alias: str, function: Callable[..., Any], *args: Any, **kargs: Any) -> None:
        """Give the toolbox a function under a name, with arguments that come before those of each call."""


class Algorithm(Protocol):
    """Steps of a generation; the attributes of the object are saved in checkpoints."""

    generates: ClassVar[bool]
    """True where the algorithm makes all its individuals and takes no first population."""

    def begin(self, population: Population, toolbox: Toolbox) -> Population:
        """Take the first population, evaluated; return the first generation."""

    def vary(self, population: Population, toolbox: Toolbox) -> Population:
        """Return the offspring; those whose fitness is not valid are evaluated next."""

    def survive(self, population: Population, offspring: Population, toolbox: Toolbox) -> Population:
        """Return the next population; `offspring` is evaluated."""
