"""Snapshots of an object's state: they show a change of the object without a pickle of it.

Calls that are sent together must not see the changes of one another. Where a function holds an object that can be
changed, the object is compared after each call by the identity of its parts, which costs about 30 ns a part; to
pickle the object again costs ten times as much.
"""

import operator
from collections.abc import Iterable
from itertools import chain
from typing import Any

from hpcml.data.arrays import content
from hpcml.engines.object_parts import find_parts, nbytes_of

__all__ = ["Snapshot", "take_snapshot"]

MAX_PARTS = 20_000  # to compare more takes longer than to load a function again
MAX_ARRAY_NBYTES = 1 << 20  # for the same reason

_END = (object(),)  # after the parts of each container, so that no part moves from one to the next unseen


class Snapshot:
    """State of an object: all that is reached from the object and can be changed.

    Examples
    --------
    >>> from hpcml.engines.snapshots import take_snapshot
    >>> things = [1, {"a": 2}]
    >>> snapshot = take_snapshot(things)
    >>> snapshot.is_unchanged()
    True
    >>> things[1]["a"] = 3
    >>> snapshot.is_unchanged()
    False
    """

    __slots__ = ("_arrays", "_parts", "_views", "is_empty")

    def __init__(self, views: list[Iterable[Any]], arrays: list[Any]) -> None:
        self._views = [view for each in views for view in (each, _END)]
        self._parts = tuple(chain.from_iterable(self._views))
        self._arrays = [(each, content(each)) for each in arrays]
        self.is_empty = not views and not arrays  # nothing could be changed

    def is_unchanged(self) -> bool:
        """Return whether the object still has this state."""
        try:
            same = all(map(operator.is_, chain.from_iterable(self._views), self._parts))
        except Exception:  # a variable without a value, an attribute that is gone
            return False
        return same and all(content(each) == before for each, before in self._arrays)


def take_snapshot(thing: Any) -> Snapshot | None:
    """Return the state of an object; None where a part of the state cannot be seen, or the state is large."""
    views: list[Iterable[Any]] = []
    arrays: list[Any] = []
    waiting = [thing]
    met = {id(thing): thing}
    left = MAX_PARTS
    try:
        while waiting:
            for part in find_parts(waiting.pop(), views, arrays):
                if id(part) not in met:
                    met[id(part)] = part
                    waiting.append(part)
                    left -= 1
            if left < 0 or sum(map(nbytes_of, arrays)) > MAX_ARRAY_NBYTES:
                return None
        return Snapshot(views, arrays)
    except Exception:  # `Opaque`; or a property of the user's that raises
        return None
