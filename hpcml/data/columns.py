"""Columns of objects that are alike: one array for the numbers of all, in place of a pickle for each.

The individuals of a generation have the same class, and genomes of one type: to pickle 200 lists of ten
``numpy.float64`` takes 6 ms, to copy their numbers 0.1 ms.
"""

import pickle
from collections.abc import Iterable, Iterator
from itertools import islice, repeat
from typing import Any, NamedTuple, Protocol

from hpcml.data.arrays import Array, split_rows
from hpcml.data.deap import build_individual, build_new_lists, content_type_of
from hpcml.data.loading import LoadedFunction

__all__ = ["Arrays", "Column", "Constant", "Individuals", "Numbers", "References", "Sequences"]


class Column(Protocol):
    """Values of one type, stored together."""

    def values(self, function: LoadedFunction | None = None) -> Iterable[Any]:
        """Return the values, each a new object; some may be objects of the function."""

    def part(self, first: int, last: int) -> "Column":
        """Return the values from `first` up to `last`."""


class Constant(NamedTuple):
    """One value, repeated, that nothing can change."""

    value: Any
    length: int

    def values(self, function: LoadedFunction | None = None) -> Iterable[Any]:
        """See `Column`."""
        return repeat(self.value, self.length)

    def part(self, first: int, last: int) -> "Constant":
        """See `Column`."""
        return Constant(self.value, last - first)


class Numbers(NamedTuple):
    """Numbers: ``plain`` are Python's, others numpy's scalars."""

    array: Array[Any, Any]
    plain: bool

    def values(self, function: LoadedFunction | None = None) -> Iterable[Any]:
        """See `Column`."""
        found: Iterable[Any] = self.array.tolist() if self.plain else self.array
        return found

    def part(self, first: int, last: int) -> "Numbers":
        """See `Column`."""
        return Numbers(self.array[first:last], self.plain)


class Arrays(NamedTuple):
    """Arrays of one shape, stacked."""

    array: Array[Any, Any]

    def values(self, function: LoadedFunction | None = None) -> Iterable[Any]:
        """See `Column`."""
        return split_rows(self.array)

    def part(self, first: int, last: int) -> "Arrays":
        """See `Column`."""
        return Arrays(self.array[first:last])


class References(NamedTuple):
    """Objects of the function, by their numbers: the primitives of a tree."""

    numbers: Array[Any, Any]

    def values(self, function: LoadedFunction | None = None) -> Iterator[Any]:
        """See `Column`; a function that was loaded again meanwhile has other objects."""
        assert function is not None
        for number in self.numbers.tolist():
            yield function.objects[number]

    def part(self, first: int, last: int) -> "References":
        """See `Column`."""
        return References(self.numbers[first:last])


class Sequences(NamedTuple):
    """Lists, tuples or sets: their lengths, and all their items in one column."""

    kind: type
    lengths: tuple[int, ...]
    items: Column

    def values(self, function: LoadedFunction | None = None) -> Iterator[Any]:
        """See `Column`."""
        kind = self.kind
        items = iter(self.items.values(function))
        for length in self.lengths:
            yield kind(islice(items, length))

    def part(self, first: int, last: int) -> "Sequences":
        """See `Column`."""
        start = sum(self.lengths[:first])
        end = sum(self.lengths[:last])
        return Sequences(self.kind, self.lengths[first:last], self.items.part(start, end))


class Individuals(NamedTuple):
    """Instances of one class of DEAP's creator: genomes, and the columns of their attributes.

    ``kind`` is the pickle of the class. ``genomes`` is None where individuals have attributes alone, ``names``
    where all attributes are those of a new individual.
    """

    kind: bytes
    genomes: Column | None
    names: tuple[str, ...] | None
    attributes: tuple[Column, ...]
    length: int

    def values(self, function: LoadedFunction | None = None) -> Iterator[Any]:
        """See `Column`."""
        names = self.names
        kind = pickle.loads(self.kind)
        genomes = repeat(None, self.length) if self.genomes is None else self.genomes.values(function)
        if names is None and content_type_of(kind) is list:
            yield from build_new_lists(kind, genomes)
            return
        if names is None:
            yield from (build_individual(kind, genome, None) for genome in genomes)
            return
        columns = [column.values(function) for column in self.attributes]
        states = zip(*columns, strict=True) if columns else repeat((), self.length)
        for genome, state in zip(genomes, states, strict=True):
            yield build_individual(kind, genome, dict(zip(names, state, strict=True)))

    def part(self, first: int, last: int) -> "Individuals":
        """See `Column`."""
        genomes = None if self.genomes is None else self.genomes.part(first, last)
        columns = tuple(column.part(first, last) for column in self.attributes)
        return Individuals(self.kind, genomes, self.names, columns, last - first)
