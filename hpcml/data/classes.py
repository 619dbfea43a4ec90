"""Classes of the script in recorded results: a restored object has the class that the script has now.

A pickle holds such a class by value, with a number that is valid in one process only. Records say which class
each number meant, and hold the digest of its definition.
"""

import enum
import io
import pickle
import types
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import cloudpickle

from hpcml.data.class_loading import ClassUnpickler, holds_class
from hpcml.data.definitions import code_parts, find_by_name
from hpcml.data.digests import digest
from hpcml.data.loading import as_file
from hpcml.errors import HpcmlError

__all__ = ["ClassNote", "NewClasses", "class_note", "find_class", "loads_known"]

FindClass = Callable[[str], type | None]

_pickles = cloudpickle.cloudpickle
SEARCHED_BYTES = 1 << 20  # a longer pickle is read as if it held classes


class ClassNote(NamedTuple):
    """A class that is sent by value: its module, its name there, and the digest of its definition."""

    module: str
    name: str
    definition: str


_notes: "weakref.WeakKeyDictionary[type, ClassNote]" = weakref.WeakKeyDictionary()


def class_note(kind: type) -> tuple[str, ClassNote]:
    """Return the number of a class in the pickles of this process, and the note of the class."""
    note = _notes.get(kind)
    if note is None:
        note = _notes[kind] = ClassNote(str(kind.__module__), kind.__qualname__, _definition(kind))
    return str(_pickles._get_or_create_tracker_id(kind)), note


class NewClasses:
    """Classes whose numbers are not recorded yet; any thread adds to them, the writing thread takes them."""

    def __init__(self) -> None:
        self._seen: weakref.WeakSet[type] = weakref.WeakSet()
        self._new: deque[type] = deque()

    def add(self, classes: Iterable[type]) -> None:
        """Add those of `classes` that are new."""
        for kind in classes:
            if kind not in self._seen:
                self._seen.add(kind)
                self._new.append(kind)

    def take(self) -> Iterator[tuple[str, ClassNote]]:
        """Yield the number and the note of each new class, once."""
        while self._new:
            yield class_note(self._new.popleft())


def find_class(note: ClassNote, candidates: Iterable[type]) -> type:
    """Return the class of a note: one of `candidates`, else the one with its name in its module.

    Raises
    ------
    HpcmlError
        There is no such class, or more than one, or its definition has changed.
    """
    found = [kind for kind in candidates if class_note(kind)[1] == note]
    if not found:
        there = find_by_name(note.module, note.name)
        found = [there] if isinstance(there, type) and class_note(there)[1] == note else []
    if len(found) != 1:
        how = "is not there yet, or is another one now" if not found else "is there more than once"
        raise HpcmlError(f"its class {note.module}.{note.name} {how}")
    return found[0]


def _find_none(number: str) -> type | None:
    return None


def loads_known(packed: bytes | memoryview, find: FindClass = _find_none) -> Any:
    """Unpickle an object from another process; a class that this process has stays as it is here.

    Parameters
    ----------
    find
        Returns the class with a number of another process, None for an unknown number.
    """
    if len(packed) < SEARCHED_BYTES and not holds_class(packed):
        return pickle.loads(packed)
    return _Unpickler(as_file([memoryview(packed)]), find).load()


class _Unpickler(ClassUnpickler):
    """Unpickler that leaves existing classes alone.

    cloudpickle's own overwrites the attributes of an existing class with those of the worker's copy.
    """

    def __init__(self, stream: io.BufferedReader, find: FindClass) -> None:
        super().__init__(stream)
        self._find = find
        self._existing: set[type] = set()

    def known_class(self, number: str) -> type | None:
        """Return the class that has a number in this process, or in the process that the pickle is from."""
        kind = self._find(number)
        if kind is None:
            kind = super().known_class(number)
        if kind is not None:
            self._existing.add(kind)
        return kind

    def set_state(self, kind: type, state: Any) -> type:
        """Set the attributes of a class that the pickle has made; an existing one stays as it is."""
        return kind if kind in self._existing else super().set_state(kind, state)


def _definition(kind: type) -> str:
    """Return the digest of the definition of a class, without values that change while a script runs."""
    return digest(repr(_shape(kind)).encode("utf-8", "surrogatepass"))


def _shape(kind: type) -> tuple[object, ...]:
    """Return the names and the code that a class consists of."""
    bases = [_shape(base) if base.__module__ == kind.__module__ else _name(base) for base in kind.__bases__]
    own = [(name, _attribute_shape(value)) for name, value in sorted(vars(kind).items()) if name not in _CHANGING]
    members: list[tuple[str, str]] = []
    if isinstance(kind, enum.EnumMeta):
        members = [(name, _plain(one.value)) for name, one in kind.__members__.items()]  # type: ignore[var-annotated]
    return _name(kind), _name(type(kind)), bases, own, members


_CHANGING = {"__doc__", "__firstlineno__", "__static_attributes__", "_abc_impl", "__annotations_cache__"}


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _attribute_shape(value: object) -> object:
    """Return the part of an attribute that belongs to the definition of its class."""
    if isinstance(value, staticmethod | classmethod):
        return type(value).__name__, _attribute_shape(value.__func__)
    if isinstance(value, property):
        return "property", [_attribute_shape(part) for part in (value.fget, value.fset, value.fdel)]
    if isinstance(value, types.FunctionType):
        return _code(value.__code__)
    if isinstance(value, dict) and value and all(isinstance(key, str) for key in value):  # annotations, fields
        return [
            (key, _name(part) if isinstance(part, type) else type(part).__name__) for key, part in value.items()
        ]
    return _name(type(value))


def _plain(value: object) -> str:
    return repr(value) if isinstance(value, int | float | str | tuple) else _name(type(value))


def _code(code: types.CodeType) -> tuple[object, ...]:
    instructions, table, constants, *more = code_parts(code)
    return instructions, table, [_constant(one) for one in constants], more


def _constant(one: object) -> object:
    if isinstance(one, types.CodeType):
        return _code(one)
    return sorted(map(repr, one)) if isinstance(one, frozenset) else repr(one)
