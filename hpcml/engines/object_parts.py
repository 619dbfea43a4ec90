"""Parts of objects: the objects that one refers to, and those of them that a call can exchange for others.

Each type of object has a function here, which returns the parts of an instance and adds to `Views` each container
of parts that can be changed.
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

from hpcml.data.arrays import Array, is_constant
from hpcml.data.definitions import is_named
from hpcml.data.out_of_band import reducers
from hpcml.data.random_state import reduce_generator

__all__ = ["Opaque", "find_parts", "nbytes_of"]

Views = list[Iterable[Any]]
"""Iterables over parts that can be changed; each yields the parts as they are at that time."""

_CONSTANTS = (
    *(int, float, complex, str, bytes, type(None), type(...), type(NotImplemented), range, enum.Enum, re.Pattern),
    *(decimal.Decimal, fractions.Fraction, datetime.date, datetime.time, datetime.timedelta, datetime.tzinfo),
    *(pathlib.PurePath, uuid.UUID, types.CodeType, types.GetSetDescriptorType),
    *(types.MemberDescriptorType, types.WrapperDescriptorType, types.MethodDescriptorType, types.GenericAlias),
)
_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE
_IMMUTABLE_TYPE = 1 << 8  # Py_TPFLAGS_IMMUTABLETYPE
_CONTAINERS = (list, dict, set, deque)
_BASES = {object, *_CONTAINERS, OrderedDict, defaultdict, tuple, frozenset, int, float, str, bytes}
_NO_SLOTS = ("__dict__", "__weakref__")


class Opaque(Exception):
    """An object whose state cannot be seen."""


class _Attributes:
    """Attributes of an object that are not in a dictionary, read anew each time."""

    __slots__ = ("_get", "_owner")

    def __init__(self, owner: Any, get: Callable[[Any], Iterable[Any]]) -> None:
        self._owner = owner
        self._get = get

    def __iter__(self) -> Iterator[Any]:
        return iter(self._get(self._owner))


def find_parts(thing: Any, views: Views, arrays: list[Any]) -> Iterable[Any]:
    """Return the parts of one object; add the containers of parts that can be changed to `views`.

    Arrays are added to `arrays`: their content is no object.

    Raises
    ------
    Opaque
        The object may have a state that cannot be seen.
    """
    if isinstance(thing, Array | array.array):
        return _parts_of_array(thing, views, arrays)
    if _is_constant(thing):
        return ()
    for kind, parts_of in _TYPES:
        if isinstance(thing, kind):
            return parts_of(thing, views)
    return _parts_of_instance(thing, views)


def nbytes_of(thing: Any) -> int:
    """Return the number of bytes of an array of numpy or of the standard library."""
    return int(len(thing) * thing.itemsize if isinstance(thing, array.array) else thing.nbytes)


def _is_constant(thing: Any) -> bool:
    """Return whether no call can change an object, or the object belongs to the process."""
    if isinstance(thing, types.ModuleType):
        return sys.modules.get(thing.__name__) is thing
    if isinstance(thing, type | types.FunctionType) and is_named(thing):
        return True
    if isinstance(thing, _CONSTANTS) and not _attributes(thing):
        return True
    return type(thing) in reducers or is_constant(thing) or reduce_generator(thing) is not None


def _parts_of_array(thing: Any, views: Views, arrays: list[Any]) -> Iterable[Any]:
    if isinstance(thing, Array) and thing.dtype.hasobject:
        raise Opaque
    if not isinstance(thing, Array) or thing.flags.writeable:
        arrays.append(thing)
    return _entries(_attributes(thing), views)


def _entries(mapping: Any, views: Views) -> Iterable[Any]:
    """Return the keys and values of a mapping."""
    if not mapping:
        views.append(mapping)
        return ()
    views += (mapping.keys(), mapping.values())
    return chain(mapping.keys(), mapping.values())


def _attributes(thing: Any) -> dict[str, Any]:
    found: dict[str, Any] = getattr(thing, "__dict__", None) or {}
    return found


def _parts_of_class(kind: type, views: Views) -> Iterable[Any]:
    return _entries(vars(kind), views) if kind.__flags__ & _HEAP_TYPE else ()


def _parts_of_builtin(function: types.BuiltinFunctionType, views: Views) -> Iterable[Any]:
    return () if isinstance(function.__self__, types.ModuleType | type) else (function.__self__,)


def _parts_of_partial(partial: functools.partial[Any], views: Views) -> Iterable[Any]:
    return partial.func, partial.args, partial.keywords, *_entries(vars(partial), views)


def _parts_of_property(thing: property, views: Views) -> Iterable[Any]:
    return thing.fget, thing.fset, thing.fdel


def _parts_of_cell(cell: types.CellType, views: Views) -> Iterable[Any]:
    views.append(_Attributes(cell, _cell_contents))
    return _cell_contents(cell)


def _cell_contents(cell: types.CellType) -> tuple[Any, ...]:
    return (cell.cell_contents,) if cell != types.CellType() else ()


_function_attributes = operator.attrgetter("__code__", "__defaults__", "__kwdefaults__", "__dict__")


def _parts_of_function(function: types.FunctionType, views: Views) -> Iterable[Any]:
    views.append(_Attributes(function, _function_attributes))
    variables = {name: value for name, value in function.__globals__.items() if name != "__builtins__"}
    views += (function.__globals__.keys(), function.__globals__.values())
    return chain(_function_attributes(function), function.__closure__ or (), variables.values())


_TYPES: tuple[tuple[type, Callable[[Any, Views], Iterable[Any]]], ...] = (
    (type, _parts_of_class),
    (types.FunctionType, _parts_of_function),
    (types.BuiltinFunctionType, _parts_of_builtin),
    (types.MethodType, lambda method, _: (method.__func__, method.__self__)),
    (functools.partial, _parts_of_partial),
    (staticmethod, lambda method, _: (method.__func__,)),
    (classmethod, lambda method, _: (method.__func__,)),
    (property, _parts_of_property),
    (types.CellType, _parts_of_cell),
)
"""Functions that return the parts of an instance of each type."""


def _parts_of_instance(thing: Any, views: Views) -> Iterable[Any]:
    """Return the parts of an instance of a class written in Python, or of a container."""
    kind = type(thing)
    if not all(base in _BASES or _is_pure(base) for base in kind.__mro__):
        if is_named(thing):
            return ()
        raise Opaque
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


def _slots(kind: type) -> list[str]:
    """Return the names of the slots of a class, private ones as the class mangles them."""
    names = vars(kind).get("__slots__", ())
    members = [name for name in ([names] if isinstance(names, str) else names) if name not in _NO_SLOTS]
    prefix = f"_{kind.__name__.lstrip('_')}"
    return [prefix + name if name.startswith("__") and not name.endswith("__") else name for name in members]


def _read_slots(names: list[str], thing: Any) -> list[Any]:
    values = []
    for name in names:
        with contextlib.suppress(AttributeError):
            values.append(getattr(thing, name))
    return values


def _is_pure(kind: type) -> bool:
    """Return whether a class is written in Python: one written in C may have a state that cannot be seen."""
    if not kind.__flags__ & _HEAP_TYPE or kind.__flags__ & _IMMUTABLE_TYPE or kind.__base__ is None:
        return False
    if isinstance(vars(kind).get("__new__"), types.BuiltinFunctionType):
        return False
    slot_nbytes = 8 * (len(_slots(kind)) + 2)  # its slots, a dictionary and weak references
    return kind.__basicsize__ <= kind.__base__.__basicsize__ + slot_nbytes
