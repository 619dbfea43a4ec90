"""Objects of a function that its arguments may share: an object in both is one object on the worker too."""

import enum
from collections.abc import Mapping
from functools import cached_property
from types import CodeType, FunctionType, ModuleType
from typing import Any

from hpcml.data.arrays import is_constant
from hpcml.data.definitions import is_named

__all__ = ["FunctionObjects", "Objects"]

Objects = dict[int, tuple[int, Any]]
"""Objects in a pickle by their ids: each with its number in the memo."""

_WITHOUT_IDENTITY = (str, bytes, int, float, complex, type(None), type, CodeType, ModuleType, enum.Enum)


class FunctionObjects:
    """Objects in the pickle of a function whose identity calls can see.

    Parameters
    ----------
    memo
        Memo of the pickler that has written the function. Its objects stay alive, and so their ids stay theirs.

    Examples
    --------
    >>> from hpcml.data.function_objects import FunctionObjects
    >>> table, name = [1, 2], "table"
    >>> objects = FunctionObjects({id(table): (0, table), id(name): (1, name)})
    >>> objects.are_in({id(name): (7, name)}), objects.are_in({id(table): (7, table)})
    (False, True)
    """

    def __init__(self, memo: Objects) -> None:
        self._memo = memo

    @cached_property
    def by_id(self) -> Objects:
        """The objects, each with its number in the memo. Few calls need them, and to find them takes 15 us."""
        return {key: entry for key, entry in self._memo.items() if _has_identity(entry[1])}

    def are_in(self, memo: Mapping[int, object]) -> bool:
        """Return whether one of the objects is in the pickle with this memo."""
        return any(_has_identity(self._memo[key][1]) for key in self._memo.keys() & memo.keys())


def _has_identity(thing: Any) -> bool:
    """Return whether it matters that an object is one and the same in two places of a pickle."""
    if isinstance(thing, _WITHOUT_IDENTITY) or is_constant(thing):
        return False
    return not (isinstance(thing, FunctionType) and is_named(thing))
