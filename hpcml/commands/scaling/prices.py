"""Prices of providers, from a file that the user writes."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from hpcml.commands.scaling.study import Point
from hpcml.errors import HpcmlError

__all__ = ["Provider", "read_prices"]


@dataclass(frozen=True)
class Provider:
    """A provider of computers, with its prices in `currency` for an hour of a core, a node, and a GPU.

    `billed_hour` is for an hour of Slurm's billing TRES.
    """

    name: str
    core_hour: float = 0.0
    node_hour: float = 0.0
    gpu_hour: float = 0.0
    billed_hour: float = 0.0
    currency: str = "EUR"

    def price(self, point: Point) -> float:
        """Return the price of one run, by what was allocated.

        Examples
        --------
        >>> from hpcml.commands.scaling.prices import Provider
        >>> from hpcml.commands.scaling.study import Measured, make_study
        >>> (point,) = make_study([Measured(4, 1, 3500, 60, 3600, 4, 8, 1)]).points
        >>> Provider("a cloud", core_hour=0.05, node_hour=0.1).price(point)
        0.5
        """
        billed = self.billed_hour * (point.billed or 0.0)
        of_cores = self.core_hour * point.core_hours + self.node_hour * point.node_hours
        return of_cores + self.gpu_hour * point.gpu_hours + billed


def read_prices(path: Path) -> tuple[Provider, ...]:
    """Return the providers of a file in TOML: a table for each, ``["a cloud"]`` and ``core_hour = 0.05``.

    Raises
    ------
    HpcmlError
        The file cannot be read, or has another key or a value that is no price.
    """
    try:
        tables = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise HpcmlError(f"the prices in {path} cannot be read: {error}") from error
    return tuple(_provider(name, table, path) for name, table in tables.items())


def _provider(name: str, table: object, path: Path) -> Provider:
    known = {field.name for field in fields(Provider)} - {"name"}
    if not isinstance(table, Mapping) or not known.issuperset(table):
        raise HpcmlError(f"{path}: each provider is a table, as [{name}], with some of {', '.join(sorted(known))}")
    prices = [value for key, value in table.items() if key != "currency"]
    if not all(isinstance(price, int | float) and price >= 0 for price in prices):
        raise HpcmlError(f"{path}: a price of [{name}] is no number above 0")
    return Provider(name, **table)
