"""Arguments of several calls that are sent together, each as if it were sent alone.

===========  ========================================================================================
`Plain`      numbers and short strings, which nothing can change: one pickle of all
`Alike`      objects that are alike, such as DEAP's individuals: one array for the numbers of all
`Each`       all other objects: a pickle for each call
===========  ========================================================================================
"""

import math
import pickle
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from hpcml.data.column_encoding import PackClass, SeenObjects, encode_column
from hpcml.data.columns import Column
from hpcml.data.function_objects import Objects
from hpcml.data.loading import LoadedFunction, loads_arguments
from hpcml.data.packed import LargePart, Packed, Referring, large_parts_of, nbytes

__all__ = ["Alike", "Arguments", "Each", "Plain", "encode_alike", "large_parts", "size_of"]

CallArguments = tuple[Sequence[Any], Mapping[str, Any]]


class Plain(NamedTuple):
    """Arguments that nothing can change: the pickle of a list of ``(args, kwargs)``, and a part of the list."""

    packed: bytes
    first: int
    length: int

    def part(self, first: int, last: int) -> "Plain":
        """Return the arguments of the calls from `first` up to `last`."""
        return Plain(self.packed, self.first + first, last - first)

    @property
    def nbytes(self) -> int:
        """Number of bytes that are sent."""
        return len(self.packed)

    @property
    def large_parts(self) -> list[LargePart]:
        """Placeholders for the large parts; there are none."""
        return []

    def load(self, function: LoadedFunction) -> Iterator[CallArguments]:
        """Yield the arguments of each call, new objects for this call."""
        return iter(pickle.loads(self.packed)[self.first : self.first + self.length])


class Each(NamedTuple):
    """A pickle of ``(args, kwargs)`` for each call."""

    packed: tuple[Packed | Referring, ...]

    @property
    def length(self) -> int:
        """Number of calls."""
        return len(self.packed)

    def part(self, first: int, last: int) -> "Each":
        """See `Plain`."""
        return Each(self.packed[first:last])

    @property
    def nbytes(self) -> int:
        """See `Plain`."""
        return sum(map(nbytes, self.packed))

    @property
    def large_parts(self) -> list[LargePart]:
        """See `Plain`."""
        return [part for packed in self.packed for part in large_parts_of(packed)]

    def load(self, function: LoadedFunction) -> Iterator[CallArguments]:
        """See `Plain`."""
        return (loads_arguments(packed, function) for packed in self.packed)


class Alike(NamedTuple):
    """A column for each argument; there are no keyword arguments."""

    columns: tuple[Column, ...]
    length: int

    def part(self, first: int, last: int) -> "Alike":
        """See `Plain`."""
        return Alike(tuple(column.part(first, last) for column in self.columns), last - first)

    @property
    def nbytes(self) -> int:
        """See `Plain`; about 100 bytes for each call."""
        return 100 * self.length

    @property
    def large_parts(self) -> list[LargePart]:
        """See `Plain`."""
        return []

    def load(self, function: LoadedFunction) -> Iterator[CallArguments]:
        """See `Plain`."""
        return ((row, {}) for row in zip(*(column.values(function) for column in self.columns), strict=True))


Arguments = Plain | Each | Alike


def size_of(packed: "Packed | Referring | Arguments") -> int:
    """Return the number of bytes that are sent."""
    return packed.nbytes if isinstance(packed, Plain | Each | Alike) else nbytes(packed)


def large_parts(packed: "Packed | Referring | Arguments") -> list[LargePart]:
    """Return the placeholders for the large parts."""
    return packed.large_parts if isinstance(packed, Plain | Each | Alike) else large_parts_of(packed)


def encode_alike(
    calls: Sequence[CallArguments], objects: Objects, pack: PackClass, limit: float = math.inf
) -> Alike | None:
    """Return the arguments of calls as columns; None where the calls are not alike, or share an object.

    See `hpcml.data.column_encoding.SeenObjects` for the parameters.
    """
    if any(kwargs for _, kwargs in calls) or len({len(args) for args, _ in calls}) != 1:
        return None
    seen = SeenObjects(objects, pack, limit)
    columns = []
    for values in zip(*(args for args, _ in calls), strict=True):
        column = encode_column(values, seen)
        if column is None:
            return None
        columns.append(column)
    return Alike(tuple(columns), len(calls))
