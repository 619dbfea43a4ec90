"""Loading of pickles on a worker, around the files on its node that hold their large parts."""

import io
import pickle
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from hpcml.data.class_loading import ClassUnpickler, holds_class, load
from hpcml.data.packed import LargePart, Packed, Referring
from hpcml.data.staging.files import DataPart, open_map

__all__ = ["LoadedFunction", "MappedFiles", "as_file", "loads_arguments", "loads_function", "loads_with_holes"]


class LoadedFunction(Protocol):
    """A function as a worker has loaded it."""

    objects: Mapping[int, Any]
    """The objects in its pickle, as it was loaded last; see `loads_function`."""

    def load_again(self) -> None:
        """Load the function as it was sent."""


class MappedFiles:
    """The files that a task has mapped; each stays mapped while this object or an array refers to it."""

    def __init__(self) -> None:
        self._open: dict[str, memoryview] = {}

    def content(self, part: LargePart) -> memoryview:
        """Return a part of a file; a private one can be written, and no other process sees the change."""
        assert isinstance(part, DataPart)
        path = part.file.path
        end = part.offset + part.nbytes
        if part.private:
            return memoryview(open_map(part.file))[part.offset : end]
        if path not in self._open:
            self._open[path] = memoryview(open_map(part.file)).toreadonly()
        return self._open[path][part.offset : end]


def loads_arguments(packed: Packed | Referring, function: LoadedFunction) -> Any:
    """Unpickle arguments, packed by `hpcml.data.out_of_band.Packer`, around the files on this node.

    Parameters
    ----------
    function
        The function that is called with them. It is loaded again where a class in the arguments was registered in
        its state.

    Raises
    ------
    DataMissing
        A file is missing, or does not have the content that was sent.
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
        return _load_around_files(partial(_ReferringUnpickler, function.objects), packed.packed)
    return _load_around_files(ClassUnpickler, packed)


def _load_around_files(kind: Callable[..., ClassUnpickler], packed: Packed) -> tuple[Any, ClassUnpickler]:
    return load(partial(_unpickler, kind, packed, MappedFiles()))


def loads_function(packed: Packed) -> tuple[Any, Mapping[int, Any]]:
    """Unpickle a function; return also the objects in its pickle, by their numbers in the memo.

    Raises
    ------
    DataMissing
        See `loads_arguments`.
    """
    function, unpickler = _load_around_files(ClassUnpickler, packed)
    return function, unpickler.memo.copy()


class _ReferringUnpickler(ClassUnpickler):
    """Unpickler of a pickle that refers to objects of a function by their numbers."""

    def __init__(self, objects: Mapping[int, Any], stream: Any, **settings: Any) -> None:
        super().__init__(stream, **settings)
        self._objects = objects

    def persistent_load(self, number: int) -> Any:
        """Return the object with a number; see `pickle.Unpickler.persistent_load`."""
        return self._objects[number]


def _unpickler(kind: Callable[..., ClassUnpickler], packed: Packed, files: MappedFiles) -> ClassUnpickler:
    if isinstance(packed, bytes):
        return kind(io.BytesIO(packed))
    buffers = [files.content(part) for part in packed.buffers]
    holes = [(offset, files.content(part)) for offset, part in packed.holes]
    return kind(_fill_holes(packed.stream, holes), buffers=buffers)


def loads_with_holes(
    stream: bytes | memoryview, holes: Sequence[tuple[int, memoryview]], buffers: Sequence[Any]
) -> Any:
    """Unpickle a stream with its holes filled and its buffers given."""
    if not holes and not holds_class(stream):
        return pickle.loads(stream, buffers=buffers)
    return load(lambda: ClassUnpickler(_fill_holes(stream, holes), buffers=buffers))[0]


def _fill_holes(stream: bytes | memoryview, holes: Sequence[tuple[int, memoryview]]) -> io.BufferedReader:
    """Return a stream with the content of its holes as one file."""
    parts: list[memoryview] = []
    end = 0
    for offset, content in holes:
        parts += [memoryview(stream)[end:offset], content]
        end = offset
    parts.append(memoryview(stream)[end:])
    return as_file(parts)


def as_file(parts: Sequence[memoryview]) -> io.BufferedReader:
    """Return several pieces of memory as one file, without copying them."""
    return io.BufferedReader(_Pieces(parts))


class _Pieces(io.RawIOBase):
    """Several pieces of memory, read as one file."""

    def __init__(self, parts: Sequence[memoryview]) -> None:
        self._parts = [part for part in reversed(parts) if part]

    def readable(self) -> bool:
        """Return True; see `io.RawIOBase`."""
        return True

    def readinto(self, target: Any) -> int:
        """Fill `target` from the pieces, and return the number of bytes; see `io.RawIOBase`."""
        if not self._parts:
            return 0
        part = self._parts.pop()
        count = min(len(part), len(target))
        target[:count] = part[:count]
        if count < len(part):
            self._parts.append(part[count:])
        return count
