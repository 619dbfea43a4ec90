"""Objects that are alike, as columns: one array for the numbers of all, in place of a pickle for each.

The individuals of a generation have the same class, and genomes of one type: to pickle 200 lists of ten
``numpy.float64`` takes 6 ms, to copy their numbers 0.1 ms. `encode` returns None wherever a pickle would give
anything else: for objects that differ in type, that share a part, or whose class says itself how to pickle them.
"""

import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice, repeat
from typing import Any, NamedTuple, Protocol

from hpcml.arrays import Array, numbers, split_rows, stack
from hpcml.individuals import base_of, build_individual, new_lists, new_parts

__all__ = ["Arrays", "Column", "Constant", "Found", "Individuals", "Numbers", "Sequences", "encode"]

Found = set[int]
"""The ids of the objects with an identity that were met so far."""

PackClass = Callable[[type], bytes | None]

_SEQUENCES = (list, tuple, set)
_CONSTANTS = (type(None), str, bytes)


class Column(Protocol):
    """Values of one type."""

    def values(self) -> Iterable[Any]:
        """Return the values, each made for whoever takes it."""

    def part(self, first: int, last: int) -> "Column":
        """Return the values from `first` up to `last`."""


class Constant(NamedTuple):
    """The same value again and again; nothing can change the value."""

    value: Any
    length: int

    def values(self) -> Iterable[Any]:
        """See `Column`."""
        return repeat(self.value, self.length)

    def part(self, first: int, last: int) -> "Constant":
        """See `Column`."""
        return Constant(self.value, last - first)


class Numbers(NamedTuple):
    """Numbers: ``plain`` are Python's, others numpy's scalars."""

    array: Any
    plain: bool

    def values(self) -> Iterable[Any]:
        """See `Column`."""
        found: Iterable[Any] = self.array.tolist() if self.plain else self.array
        return found

    def part(self, first: int, last: int) -> "Numbers":
        """See `Column`."""
        return Numbers(self.array[first:last], self.plain)


class Arrays(NamedTuple):
    """Arrays of one shape, stacked."""

    array: Any

    def values(self) -> Iterable[Any]:
        """See `Column`."""
        return split_rows(self.array)

    def part(self, first: int, last: int) -> "Arrays":
        """See `Column`."""
        return Arrays(self.array[first:last])


class Sequences(NamedTuple):
    """Lists, tuples or sets: their lengths, and all their items in one column."""

    kind: type
    lengths: tuple[int, ...]
    items: Any

    def values(self) -> Iterator[Any]:
        """See `Column`."""
        items, kind = iter(self.items.values()), self.kind
        for length in self.lengths:
            yield kind(islice(items, length))

    def part(self, first: int, last: int) -> "Sequences":
        """See `Column`."""
        start, end = sum(self.lengths[:first]), sum(self.lengths[:last])
        return Sequences(self.kind, self.lengths[first:last], self.items.part(start, end))


class Individuals(NamedTuple):
    """Instances of one class of DEAP's creator: genomes, and the columns of their attributes.

    ``kind`` is the pickle of the class. ``genomes`` is None where attributes are all there is, ``names`` where all
    attributes are as the class makes them.
    """

    kind: bytes
    genomes: Any
    names: tuple[str, ...] | None
    attributes: tuple[Any, ...]
    length: int

    def values(self) -> Iterator[Any]:
        """See `Column`."""
        kind, names = pickle.loads(self.kind), self.names
        genomes = repeat(None, self.length) if self.genomes is None else self.genomes.values()
        if names is None and base_of(kind) is list:
            yield from new_lists(kind, genomes)
            return
        if names is None:
            yield from (build_individual(kind, genome, None) for genome in genomes)
            return
        columns = [column.values() for column in self.attributes]
        states = zip(*columns, strict=True) if columns else repeat((), self.length)
        for genome, state in zip(genomes, states, strict=True):
            yield build_individual(kind, genome, dict(zip(names, state, strict=True)))

    def part(self, first: int, last: int) -> "Individuals":
        """See `Column`."""
        genomes = None if self.genomes is None else self.genomes.part(first, last)
        columns = tuple(column.part(first, last) for column in self.attributes)
        return Individuals(self.kind, genomes, self.names, columns, last - first)


def _no_class(kind: type) -> bytes | None:
    return None


def encode(values: Sequence[Any], found: Found, pack: PackClass = _no_class) -> Column | None:
    """Return values as a column; None where they are not alike.

    Parameters
    ----------
    found
        The objects that must not be met again, for then two things share them; what is met here is added.
    pack
        Pickles a class of DEAP's creator; None where that is not possible.
    """
    kinds = set(map(type, values))
    if len(kinds) != 1:
        return None
    kind = kinds.pop()
    if kind in _CONSTANTS:
        return Constant(values[0], len(values)) if all(value is values[0] for value in values) else None
    array = numbers(kind, values)
    if array is not None:
        return Numbers(array, kind in (bool, int, float))
    if kind in _SEQUENCES:
        return _sequences(kind, values, found, pack)
    if kind is Array:
        stacked = stack(values) if _are_new(values, found) else None
        return None if stacked is None else Arrays(stacked)
    return _individuals(kind, values, found, pack)


def _are_new(values: Sequence[Any], found: Found) -> bool:
    """Tell whether none of these objects was met before; they count as met from now on."""
    ids = set(map(id, values))
    if len(ids) < len(values) or not found.isdisjoint(ids):
        return False
    found |= ids
    return True


def _sequences(kind: type, values: Sequence[Any], found: Found, pack: PackClass) -> Column | None:
    if any(values) and not _are_new([value for value in values if value or kind is not tuple], found):
        return None
    lengths = tuple(map(len, values))
    flat = list(chain.from_iterable(values))
    items = encode(flat, found, pack) if flat else Constant(None, 0)
    return None if items is None else Sequences(kind, lengths, items)


def _individuals(kind: Any, values: Sequence[Any], found: Found, pack: PackClass) -> Column | None:
    base = base_of(kind)
    if base is None or not _are_new(values, found):
        return None
    genomes: Any = None
    if base in (list, set):
        genomes = _sequences(list, [list(value) for value in values], found, pack)
    elif base is Array and (stacked := stack(values)) is not None:
        genomes = Arrays(stacked)
    if genomes is None and base is not object:
        return None
    names, columns = _attributes(kind, values, found, pack)
    packed = pack(kind)
    if columns is None or packed is None:
        return None
    return Individuals(packed, genomes, names, columns, len(values))


def _attributes(
    kind: Any, values: Sequence[Any], found: Found, pack: PackClass
) -> tuple[tuple[str, ...] | None, tuple[Column, ...] | None]:
    """Return the names and the columns of attributes; no names where all are as the class makes them."""
    states = [vars(value) for value in values]
    made = new_parts(kind, states)
    if made is not None:
        return None, () if _are_new(made, found) else None
    names = tuple(states[0])
    columns: list[Column] = []
    for name in names if all(tuple(state) == names for state in states) else ():
        column = encode([state[name] for state in states], found, pack)
        if column is None:
            break
        columns.append(column)
    return names, tuple(columns) if len(columns) == len(names) else None
