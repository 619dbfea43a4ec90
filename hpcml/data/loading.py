"""Pickles loaded around the files on this node that hold their large parts; see `hpcml.data.out_of_band`."""

import io
import pickle
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from hpcml.data.class_loading import ClassUnpickler, holds_class, load
from hpcml.data.packed import LargePart, Packed, Payload, Referring
from hpcml.data.staging.files import DataPart, open_map

__all__ = ["LoadedFunction", "Maps", "join", "joined", "loads_arguments", "loads_function"]


class LoadedFunction(Protocol):
    """A function as a worker has loaded it."""

    objects: Mapping[int, Any]
    """Those in its pickle, as it was loaded last; see `loads_function`."""

    def load_again(self) -> None:
        """Load it as it was sent."""


class Maps:
    """The files that a task has mapped; they stay so while this object lives, or an array uses them."""

    def __init__(self) -> None:
        self._open: dict[str, memoryview] = {}

    def content(self, part: LargePart) -> memoryview:
        """Return a stretch of a file; what is private can be written, and nobody else sees it."""
        assert isinstance(part, DataPart)
        path, end = part.file.path, part.offset + part.nbytes
        if part.private:
            return memoryview(open_map(part.file))[part.offset : end]
        if path not in self._open:
            self._open[path] = memoryview(open_map(part.file)).toreadonly()
        return self._open[path][part.offset : end]


def loads_arguments(packed: Packed | Referring, function: LoadedFunction) -> Any:
    """Unpickle arguments, as a pickle of `hpcml.data.out_of_band.Packer`, around the files on this node.

    Parameters
    ----------
    function
        The one that is called with them. It is loaded again where its state has noted a class of the arguments.

    Raises
    ------
    DataMissing
        A file is not there, or is not the one that was sent.
    """
    if isinstance(packed, bytes) and not holds_class(packed):
        return pickle.loads(packed)
    arguments, unpickler = _loads(packed, function)
    if unpickler.registers_classes:
        function.load_again()
        arguments, _ = _loads(packed, function)
    return arguments


def _loads(packed: Packed | Referring, function: LoadedFunction) -> tuple[Any, ClassUnpickler]:
    if isinstance(packed, Referring):
        return load(partial(_unpickler, partial(_ReferringUnpickler, function.objects), packed.packed, Maps()))
    return load(partial(_unpickler, ClassUnpickler, packed, Maps()))


def loads_function(packed: Packed) -> tuple[Any, Mapping[int, Any]]:
    """Unpickle a function; return also the objects in its pickle, by their numbers in the memo.

    Raises
    ------
    DataMissing
        See `loads_arguments`.
    """
    function, unpickler = load(partial(_unpickler, ClassUnpickler, packed, Maps()))
    return function, unpickler.memo.copy()


class _ReferringUnpickler(ClassUnpickler):
    """One that knows the objects of a function."""

    def __init__(self, objects: Mapping[int, Any], stream: Any, **settings: Any) -> None:
        super().__init__(stream, **settings)
        self._objects = objects

    def persistent_load(self, number: int) -> Any:
        """Return an object; see `pickle.Unpickler.persistent_load`."""
        return self._objects[number]


def _opened(packed: Payload, maps: Maps) -> tuple[bytes, list[tuple[int, memoryview]], list[memoryview]]:
    """Return a pickle with the content of its large parts."""
    buffers = [maps.content(part) for part in packed.buffers]
    return packed.stream, [(offset, maps.content(part)) for offset, part in packed.holes], buffers


def _unpickler(kind: Callable[..., Any], packed: Packed, maps: Maps) -> Any:
    if isinstance(packed, bytes):
        return kind(io.BytesIO(packed))
    stream, holes, buffers = _opened(packed, maps)
    return kind(_file(stream, holes), buffers=buffers)


def join(stream: bytes | memoryview, holes: Sequence[tuple[int, memoryview]], buffers: Sequence[Any]) -> Any:
    """Unpickle a stream with its holes filled and its buffers given."""
    if not holes and not holds_class(stream):
        return pickle.loads(stream, buffers=buffers)
    return load(lambda: ClassUnpickler(_file(stream, holes), buffers=buffers))[0]


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
