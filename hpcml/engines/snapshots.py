"""Snapshots of what an object refers to: whether a call has changed anything in it, without pickling it.

Calls that are sent together must not see what one of them changes. Where a function holds an object that can be
changed, the object is compared after each call by the identity of its parts, which costs about 30 ns a part; to
pickle the object again costs ten times as much.
"""

import array
import contextlib
import datetime
import decimal
import enum
import fractions
import functools
import operator
import pathlib
import re
import sys
import types
import uuid
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

from hpcml.data.arrays import Array, content, is_constant
from hpcml.data.definitions import is_named
from hpcml.data.out_of_band import reduces
from hpcml.data.random_state import reduce_generator

__all__ = ["Snapshot", "take_snapshot"]

MOST_PARTS = 20_000  # to compare more takes longer than to load a function again
MOST_BYTES = 1 << 20  # of arrays, for the same reason

_CONSTANTS = (
    *(int, float, complex, str, bytes, type(None), type(...), type(NotImplemented), range, enum.Enum, re.Pattern),
    *(decimal.Decimal, fractions.Fraction, datetime.date, datetime.time, datetime.timedelta, datetime.tzinfo),
    *(pathlib.PurePath, uuid.UUID, types.CodeType, types.GetSetDescriptorType),
    *(types.MemberDescriptorType, types.WrapperDescriptorType, types.MethodDescriptorType, types.GenericAlias),
)
_HEAP_TYPE, _IMMUTABLE_TYPE = 1 << 9, 1 << 8  # Py_TPFLAGS_HEAPTYPE, Py_TPFLAGS_IMMUTABLETYPE
_CONTAINERS = (list, dict, set, deque)
_BASES = {object, *_CONTAINERS, OrderedDict, defaultdict, tuple, frozenset, int, float, str, bytes}
_END = (object(),)  # stands after the parts of each container, so that no part passes from one to the next unseen


class _Opaque(Exception):
    """An object whose state cannot be seen."""


class _Attributes:
    """Attributes of an object that are no dictionary's, read anew each time."""

    __slots__ = ("_get", "_owner")

    def __init__(self, owner: Any, get: Callable[[Any], Iterable[Any]]) -> None:
        self._owner, self._get = owner, get

    def __iter__(self) -> Iterator[Any]:
        return iter(self._get(self._owner))


class Snapshot:
    """The state of an object: all that is reached from the object and can be changed.

    Examples
    --------
    >>> from hpcml.engines.snapshots import take_snapshot
    >>> things = [1, {"a": 2}]
    >>> snapshot = take_snapshot(things)
    >>> snapshot.holds()
    True
    >>> things[1]["a"] = 3
    >>> snapshot.holds()
    False
    """

    __slots__ = ("_arrays", "_parts", "_views", "is_empty")

    def __init__(self, views: list[Iterable[Any]], arrays: list[Any]) -> None:
        self._views = [view for each in views for view in (each, _END)]
        self._parts = tuple(chain.from_iterable(self._views))
        self._arrays = [(each, content(each)) for each in arrays]
        self.is_empty = not views and not arrays  # nothing could be changed

    def holds(self) -> bool:
        """Tell whether the object still has this state."""
        try:
            same = all(map(operator.is_, chain.from_iterable(self._views), self._parts))
        except Exception:  # a variable without a value, an attribute that is gone
            return False
        return same and all(content(each) == before for each, before in self._arrays)


def take_snapshot(thing: Any) -> Snapshot | None:
    """Return the state of an object; None where a part of the state cannot be seen, or the state is large."""
    views: list[Iterable[Any]] = []
    arrays: list[Any] = []
    waiting, met = [thing], {id(thing): thing}
    left = MOST_PARTS
    try:
        while waiting:
            for part in _look(waiting.pop(), views, arrays):
                if id(part) not in met:
                    met[id(part)] = part
                    waiting.append(part)
                    left -= 1
            if left < 0 or sum(map(_nbytes, arrays)) > MOST_BYTES:
                return None
        return Snapshot(views, arrays)
    except Exception:  # `_Opaque`; or a property of the user's that raises
        return None


def _look(thing: Any, views: list[Iterable[Any]], arrays: list[Any]) -> Iterable[Any]:
    """Return the parts of one object, and add to `views` what holds those that can be changed."""
    if isinstance(thing, Array | array.array):
        return _look_at_array(thing, views, arrays)
    if _is_constant(thing):
        return ()
    for kind, look in _LOOKS:
        if isinstance(thing, kind):
            return look(thing, views)
    return _look_at_instance(thing, views)


def _is_constant(thing: Any) -> bool:
    """Tell whether nothing that a call does can change an object, or the object belongs to the process."""
    if isinstance(thing, types.ModuleType):
        return sys.modules.get(thing.__name__) is thing
    if isinstance(thing, type | types.FunctionType) and is_named(thing):
        return True
    if isinstance(thing, _CONSTANTS) and not _attributes(thing):
        return True
    return type(thing) in reduces or is_constant(thing) or reduce_generator(thing) is not None


def _look_at_array(thing: Any, views: list[Iterable[Any]], arrays: list[Any]) -> Iterable[Any]:
    if isinstance(thing, Array) and thing.dtype.hasobject:
        raise _Opaque
    if not isinstance(thing, Array) or thing.flags.writeable:
        arrays.append(thing)
    return _entries(_attributes(thing), views)


def _nbytes(thing: Any) -> int:
    return int(len(thing) * thing.itemsize if isinstance(thing, array.array) else thing.nbytes)


def _entries(mapping: Any, views: list[Iterable[Any]]) -> Iterable[Any]:
    """Return the keys and values of a mapping."""
    if not mapping:
        views.append(mapping)
        return ()
    views += (mapping.keys(), mapping.values())
    return chain(mapping.keys(), mapping.values())


def _attributes(thing: Any) -> dict[str, Any]:
    found: dict[str, Any] = getattr(thing, "__dict__", None) or {}
    return found


def _look_at_class(kind: Any, views: list[Iterable[Any]]) -> Iterable[Any]:
    return _entries(vars(kind), views) if kind.__flags__ & _HEAP_TYPE else ()


def _look_at_builtin(function: Any, views: list[Iterable[Any]]) -> Iterable[Any]:
    return () if isinstance(function.__self__, types.ModuleType | type) else (function.__self__,)


def _look_at_partial(partial: Any, views: list[Iterable[Any]]) -> Iterable[Any]:
    return partial.func, partial.args, partial.keywords, *_entries(vars(partial), views)


def _look_at_property(thing: Any, views: list[Iterable[Any]]) -> Iterable[Any]:
    return thing.fget, thing.fset, thing.fdel


def _look_at_cell(cell: Any, views: list[Iterable[Any]]) -> Iterable[Any]:
    views.append(_Attributes(cell, _cell))
    return _cell(cell)


_of_function = operator.attrgetter("__code__", "__defaults__", "__kwdefaults__", "__dict__")


def _look_at_function(function: types.FunctionType, views: list[Iterable[Any]]) -> Iterable[Any]:
    views.append(_Attributes(function, _of_function))
    variables = {name: value for name, value in function.__globals__.items() if name != "__builtins__"}
    views += (function.__globals__.keys(), function.__globals__.values())
    return chain(_of_function(function), function.__closure__ or (), variables.values())


def _cell(cell: types.CellType) -> tuple[Any, ...]:
    return (cell.cell_contents,) if cell != types.CellType() else ()


_LOOKS: tuple[tuple[type, Callable[[Any, list[Iterable[Any]]], Iterable[Any]]], ...] = (
    (type, _look_at_class),
    (types.FunctionType, _look_at_function),
    (types.BuiltinFunctionType, _look_at_builtin),
    (types.MethodType, lambda method, _: (method.__func__, method.__self__)),
    (functools.partial, _look_at_partial),
    (staticmethod, lambda method, _: (method.__func__,)),
    (classmethod, lambda method, _: (method.__func__,)),
    (property, _look_at_property),
    (types.CellType, _look_at_cell),
)


def _look_at_instance(thing: Any, views: list[Iterable[Any]]) -> Iterable[Any]:
    """Return the parts of an instance of a class written in Python, or of a container."""
    kind = type(thing)
    if not all(base in _BASES or _is_pure(base) for base in kind.__mro__):
        if is_named(thing):
            return ()
        raise _Opaque
    parts: list[Any] = [kind]
    if isinstance(thing, dict):
        parts += _entries(thing, views)
    elif isinstance(thing, (*_CONTAINERS, tuple, frozenset)):
        parts += thing
        if isinstance(thing, _CONTAINERS):
            views.append(thing)
    if hasattr(thing, "__dict__"):
        parts += _entries(vars(thing), views)
    slots = [name for base in kind.__mro__ for name in _slots(base)]
    slots += ["default_factory"] if isinstance(thing, defaultdict) else []
    if slots:
        read = functools.partial(_read_slots, slots)
        views.append(_Attributes(thing, read))
        parts += read(thing)
    return parts


def _slots(kind: type) -> Iterable[str]:
    names = vars(kind).get("__slots__", ())
    members = [name for name in ([names] if isinstance(names, str) else names) if name not in _NO_SLOTS]
    prefix = f"_{kind.__name__.lstrip('_')}"
    return [prefix + name if name.startswith("__") and not name.endswith("__") else name for name in members]


_NO_SLOTS = ("__dict__", "__weakref__")


def _read_slots(names: list[str], thing: Any) -> list[Any]:
    values = []
    for name in names:
        with contextlib.suppress(AttributeError):
            values.append(getattr(thing, name))
    return values


def _is_pure(kind: type) -> bool:
    """Tell whether a class is written in Python: one written in C may keep a state that nobody sees."""
    flags, base = kind.__flags__, kind.__base__
    if not flags & _HEAP_TYPE or flags & _IMMUTABLE_TYPE or base is None:
        return False
    if isinstance(vars(kind).get("__new__"), types.BuiltinFunctionType):
        return False
    room = 8 * (len(list(_slots(kind))) + 2)  # its slots, a dictionary and weak references
    return kind.__basicsize__ <= base.__basicsize__ + room
