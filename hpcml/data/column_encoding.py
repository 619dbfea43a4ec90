"""Encoding of objects of one kind as a column; see `hpcml.data.columns`.

`encode_column` returns None wherever a pickle would be loaded as anything else: for objects that differ in type,
that share a part, or whose class defines their pickle.
"""

import math
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

from hpcml.data.arrays import Array, integers, numbers, stack
from hpcml.data.columns import Arrays, Column, Constant, Individuals, Numbers, References, Sequences
from hpcml.data.deap import attributes_if_new, content_type_of
from hpcml.data.function_objects import Objects

__all__ = ["SeenObjects", "encode_column"]

PackClass = Callable[[type], bytes | None]

_SEQUENCES = (list, tuple, set)
_CONSTANTS = (type(None), str, bytes)


def _no_class(kind: type) -> bytes | None:
    return None


class SeenObjects:
    """Objects that are in a column already.

    Parameters
    ----------
    objects
        Objects of the function, with their numbers; see `hpcml.data.out_of_band.Packer.pack_function`.
    pack
        Pickles a class of DEAP's creator; None where that is not possible.
    limit
        Bytes of more than this have no place in a column: they are put on the nodes.
    """

    def __init__(
        self, objects: Objects | None = None, pack: PackClass = _no_class, limit: float = math.inf
    ) -> None:
        self.objects = objects or {}
        self.pack = pack
        self.limit = limit
        self._ids: set[int] = set(self.objects)

    def are_new(self, values: Sequence[Any]) -> bool:
        """Return whether none of these objects was seen before; they count as seen from now on.

        An object that is seen again is shared by two others, which columns cannot express.
        """
        ids = set(map(id, values))
        if len(ids) < len(values) or not self._ids.isdisjoint(ids):
            return False
        self._ids |= ids
        return True


def encode_column(values: Sequence[Any], seen: SeenObjects) -> Column | None:
    """Return values as a column; None where columns cannot express them."""
    if id(values[0]) in seen.objects:
        return _references(values, seen.objects)
    kinds = set(map(type, values))
    return _of_one_kind(kinds.pop(), values, seen) if len(kinds) == 1 else None


def _of_one_kind(kind: type, values: Sequence[Any], seen: SeenObjects) -> Column | None:
    if kind is bytes and len(values[0]) > seen.limit:
        return None
    if kind in _CONSTANTS:
        return Constant(values[0], len(values)) if all(value is values[0] for value in values) else None
    array = numbers(kind, values)
    if array is not None:
        return Numbers(array, kind in (bool, int, float))
    if kind in _SEQUENCES:
        shared = any(values) and not seen.are_new([value for value in values if value or kind is not tuple])
        return None if shared else _sequences(kind, values, seen)
    if kind is Array:
        stacked = stack(values) if seen.are_new(values) else None
        return None if stacked is None else Arrays(stacked)
    return _individuals(kind, values, seen)


def _references(values: Sequence[Any], objects: Objects) -> Column | None:
    try:
        return References(integers([objects[id(value)][0] for value in values]))
    except KeyError:
        return None


def _sequences(kind: type, values: Sequence[Any], seen: SeenObjects) -> Column | None:
    lengths = tuple(map(len, values))
    flat = list(chain.from_iterable(values))
    items = encode_column(flat, seen) if flat else Constant(None, 0)
    return None if items is None else Sequences(kind, lengths, items)


def _individuals(kind: Any, values: Sequence[Any], seen: SeenObjects) -> Column | None:
    base = content_type_of(kind)
    if base is None or not seen.are_new(values):
        return None
    genomes: Any = None
    if base in (list, set):
        # The copies do not count as seen: they end here, and a later object may have the id of one.
        genomes = _sequences(list, [list(value) for value in values], seen)
    elif base is Array and (stacked := stack(values)) is not None:
        genomes = Arrays(stacked)
    if genomes is None and base is not object:
        return None
    names, columns = _attributes(kind, values, seen)
    packed = seen.pack(kind)
    if columns is None or packed is None:
        return None
    return Individuals(packed, genomes, names, columns, len(values))


def _attributes(
    kind: Any, values: Sequence[Any], seen: SeenObjects
) -> tuple[tuple[str, ...] | None, tuple[Column, ...] | None]:
    """Return the names and the columns of attributes; no names where all are as the class makes them."""
    states = [vars(value) for value in values]
    made = attributes_if_new(kind, states)
    if made is not None:
        return None, () if seen.are_new(made) else None
    names = tuple(states[0])
    if any(tuple(state) != names for state in states):
        return names, None
    columns = []
    for name in names:
        column = encode_column([state[name] for state in states], seen)
        if column is None:
            return names, None
        columns.append(column)
    return names, tuple(columns)
