"""Pickles loaded around the files on this node that hold their large parts; see `hpcml.payload`."""

import io
import pickle
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import cloudpickle

from hpcml.datafiles import DataPart, open_map
from hpcml.packed import Packed, Payload, Referring

__all__ = ["ClassUnpickler", "Maps", "holds_class", "join", "joined", "loads", "loads_function"]

_pickles = cloudpickle.cloudpickle
_MAKERS = ("_make_skeleton_class", "_make_skeleton_enum")
_MARK = b"_make_skeleton_"


class ClassUnpickler(pickle.Unpickler):
    """An unpickler that makes no class anew that this process has: its bases and metaclass may note each class."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what a name in the pickle means; see `pickle.Unpickler.find_class`."""
        if module == _pickles.__name__ and name in _MAKERS:
            return partial(self._make, getattr(_pickles, name))
        return super().find_class(module, name)

    def _make(self, make: Callable[..., type], *parts: Any) -> type:
        known = self.known_class(parts[-2])
        return make(*parts) if known is None else known

    def known_class(self, number: str) -> type | None:
        """Return the class that has a number of cloudpickle's in this process."""
        found: type | None = _pickles._DYNAMIC_CLASS_TRACKER_BY_ID.get(number)
        return found


def holds_class(packed: bytes | memoryview) -> bool:
    """Tell whether a pickle holds a class by value."""
    return _MARK in bytes(packed)


class Maps:
    """The files that a task has mapped; they stay so while this object lives, or an array uses them."""

    def __init__(self) -> None:
        self._open: dict[str, memoryview] = {}

    def content(self, part: DataPart) -> memoryview:
        """Return a stretch of a file; what is private can be written, and nobody else sees it."""
        path, end = part.file.path, part.offset + part.nbytes
        if part.private:
            return memoryview(open_map(part.file))[part.offset : end]
        if path not in self._open:
            self._open[path] = memoryview(open_map(part.file)).toreadonly()
        return self._open[path][part.offset : end]


def loads(packed: Packed | Referring, maps: Maps, objects: Mapping[int, Any] | None = None) -> Any:
    """Unpickle a pickle of `hpcml.payload.Packer`, around the files on this node.

    Parameters
    ----------
    objects
        Those of the function, for arguments that refer to them; see `loads_function`.

    Raises
    ------
    DataMissing
        A file is not there, or is not the one that was sent.
    """
    if isinstance(packed, bytes):
        return ClassUnpickler(io.BytesIO(packed)).load() if holds_class(packed) else pickle.loads(packed)
    if isinstance(packed, Payload):
        return join(*_opened(packed, maps))
    unpickler = _unpickler(_ReferringUnpickler, packed.packed, maps)
    unpickler.objects = objects or {}
    return unpickler.load()


def loads_function(packed: Packed, maps: Maps) -> tuple[Any, Mapping[int, Any]]:
    """Unpickle a function; return also the objects in its pickle, by their numbers in the memo.

    Raises
    ------
    DataMissing
        See `loads`.
    """
    unpickler: Any = _unpickler(ClassUnpickler, packed, maps)
    function = unpickler.load()
    return function, unpickler.memo.copy()


class _ReferringUnpickler(ClassUnpickler):
    """One that knows the objects of a function."""

    objects: Mapping[int, Any]

    def persistent_load(self, number: int) -> Any:
        """Return an object; see `pickle.Unpickler.persistent_load`."""
        return self.objects[number]


def _opened(packed: Payload, maps: Maps) -> tuple[bytes, list[tuple[int, memoryview]], list[memoryview]]:
    """Return a pickle with the content of its large parts."""
    buffers = [maps.content(part) for part in packed.buffers]
    return packed.stream, [(offset, maps.content(part)) for offset, part in packed.holes], buffers


def _unpickler(kind: type[Any], packed: Packed, maps: Maps) -> Any:
    if isinstance(packed, bytes):
        return kind(io.BytesIO(packed))
    stream, holes, buffers = _opened(packed, maps)
    return kind(_file(stream, holes), buffers=buffers)


def join(stream: bytes | memoryview, holes: Sequence[tuple[int, memoryview]], buffers: Sequence[Any]) -> Any:
    """Unpickle a stream with its holes filled and its buffers given."""
    if not holes and not holds_class(stream):
        return pickle.loads(stream, buffers=buffers)
    return ClassUnpickler(_file(stream, holes), buffers=buffers).load()


def _file(stream: bytes | memoryview, holes: Sequence[tuple[int, memoryview]]) -> Any:
    parts, end = [], 0
    for offset, content in holes:
        parts += [memoryview(stream)[end:offset], content]
        end = offset
    parts.append(memoryview(stream)[end:])
    return joined(parts)


def joined(parts: Sequence[memoryview]) -> io.BufferedReader:
    """Return several pieces as one file, without copying them."""
    return io.BufferedReader(_Joined(parts))


class _Joined(io.RawIOBase):
    """Several pieces, read as one file."""

    def __init__(self, parts: Sequence[memoryview]) -> None:
        self._parts = [part for part in reversed(parts) if part]

    def readable(self) -> bool:
        """Return True; see `io.RawIOBase`."""
        return True

    def readinto(self, target: Any) -> int:
        """Fill `target` from the pieces, and return with how many bytes; see `io.RawIOBase`."""
        if not self._parts:
            return 0
        part = self._parts.pop()
        count = min(len(part), len(target))
        target[:count] = part[:count]
        if count < len(part):
            self._parts.append(part[count:])
        return count
