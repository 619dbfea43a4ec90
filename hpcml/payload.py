"""Pickles whose large parts stay behind: how a task travels without the data that it refers to.

Three kinds of large parts leave the pickle, wherever in an object they are found: arrays (`reduce_array`),
buffers that their objects give away (protocol 5: frames of pandas and Arrow), and any other stretch of bytes
that the pickler writes in one piece (bytes, strings). The first two are rebuilt around the node's file; the
third must be copied from it.
"""

import io
import pickle
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Executor
from types import MethodType
from typing import Any, NamedTuple, Protocol

import cloudpickle

from hpcml.arrays import Array, address, is_mapped, reduce_array
from hpcml.datafiles import DataPart, open_map
from hpcml.decorated import reduce_decorated
from hpcml.generators import reduce_generator
from hpcml.individuals import reduce_individual

__all__ = [
    "Book",
    "Maps",
    "OutOfBand",
    "Packed",
    "Payload",
    "dumps_apart",
    "dumps_result",
    "join",
    "loads",
    "nbytes",
    "reduces",
]

FRAME = 1 << 17  # bytes; the pickler collects small parts into pieces that stay below this


class Payload(NamedTuple):
    """A pickle without its large parts.

    Parameters
    ----------
    stream
        The pickle.
    holes
        Where in the stream something is missing, and the file that holds it.
    buffers
        The files for the pickle's out-of-band buffers, in order (PEP 574).
    """

    stream: bytes
    holes: tuple[tuple[int, Any], ...]
    buffers: tuple[Any, ...]


Packed = bytes | Payload


class Book(Protocol):
    """Takes large content during one call, and knows what it has taken."""

    @property
    def limit(self) -> float:
        """Content of more bytes than this is taken."""

    @property
    def smallest(self) -> float:
        """Arrays of more bytes than this are taken when they have travelled often."""

    @property
    def store(self) -> Any:
        """Where the content goes."""

    def take(self, key: Hashable, owner: Any, produce: Callable[[], memoryview]) -> Any:
        """Return what stands for the content; `key` holds while `owner` lives."""

    def take_often(self, key: Hashable, owner: Any, produce: Callable[[], memoryview]) -> Any:
        """Return what stands for the content, None where it has not travelled often; see `take`."""


reduces: dict[type, Callable[[Any, "OutOfBand"], tuple[Any, ...]]] = {}
"""Types with content of their own: a function of an object and the pickle's buffers, which returns how the
pickle builds the object (`pickle.Pickler.reducer_override`)."""


class _Stream:
    """Where the pickler writes: large pieces go to the book."""

    def __init__(self, book: Book) -> None:
        self.book, self.limit = book, max(book.limit, FRAME)
        self.small = io.BytesIO()
        self.holes: list[tuple[int, Any]] = []

    def write(self, data: Any) -> None:
        """Take one piece of the pickle, as a file does."""
        if not isinstance(data, bytes):  # a bytearray, or a buffer that stays in the pickle
            data = memoryview(data).cast("B")
        if len(data) > self.limit:
            taken = self.book.take((address(data), len(data)), data, lambda: memoryview(data))
            self.holes.append((self.small.tell(), taken))
        else:
            self.small.write(data)


class OutOfBand:
    """The buffers that leave a pickle, in order; apart from the pickler, which would be a cycle of references."""

    def __init__(self, book: Book) -> None:
        self.book, self.limit, self.smallest = book, book.limit, book.smallest
        self.buffers: list[Any] = []
        self._taken: dict[int, tuple[pickle.PickleBuffer, Any]] = {}

    def lend(
        self, nbytes: int, key: Hashable, owner: Any, produce: Callable[[], memoryview]
    ) -> pickle.PickleBuffer | None:
        """Have the book take content; return what stands for it, None where it stays in the pickle."""
        take = self.book.take if nbytes > self.limit else self.book.take_often
        taken = take((key, nbytes), owner, produce)
        return None if taken is None else self.stand_in(taken)

    def stand_in(self, taken: Any) -> pickle.PickleBuffer:
        """Return an empty buffer that stands for content which was taken."""
        buffer = pickle.PickleBuffer(bytearray())  # not bytes: the pickle would forbid writing to private content
        self._taken[id(buffer)] = (buffer, taken)
        return buffer

    def __call__(self, buffer: pickle.PickleBuffer) -> bool:
        """Take a buffer that is pickled; True leaves it in the pickle."""
        if id(buffer) in self._taken:
            self.buffers.append(self._taken[id(buffer)][1])
            return False
        content = buffer.raw()
        if content.nbytes <= self.limit:
            return True
        key = (address(content), content.nbytes)
        self.buffers.append(self.book.take(key, content.obj, lambda: content))
        return False


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    """cloudpickle's, with an eye for large content."""

    def __init__(self, stream: _Stream, out_of_band: OutOfBand) -> None:
        super().__init__(stream, pickle.HIGHEST_PROTOCOL, out_of_band)
        self.out_of_band, self.smallest = out_of_band, out_of_band.smallest

    def reducer_override(self, thing: Any) -> Any:
        """Return how `thing` is reduced; see `pickle.Pickler.reducer_override`."""
        reduced = None
        if isinstance(thing, Array):
            if thing.nbytes > self.smallest:
                reduced = reduce_array(thing, self.out_of_band.lend)
        elif type(thing) in reduces:
            reduced = reduces[type(thing)](thing, self.out_of_band)
        elif type(thing) is MethodType and isinstance(thing.__self__, Executor):
            reduced = getattr, (thing.__self__, thing.__name__)  # a Cluster's own: it arrives as another class
        if reduced is None:
            reduced = reduce_individual(thing) or reduce_generator(thing) or reduce_decorated(thing)
        return super().reducer_override(thing) if reduced is None else reduced


class _ResultPickler(cloudpickle.Pickler):  # type: ignore[misc]
    """cloudpickle's; what a task returns of read-only data becomes the caller's own."""

    def reducer_override(self, thing: Any) -> Any:
        """Return how `thing` is reduced; see `pickle.Pickler.reducer_override`."""
        if isinstance(thing, Array) and is_mapped(thing):
            return thing.copy(order="K").__reduce_ex__(pickle.HIGHEST_PROTOCOL)
        reduced = reduce_individual(thing) or reduce_decorated(thing)
        return super().reducer_override(thing) if reduced is None else reduced


def dumps_result(thing: Any) -> bytes:
    """Pickle what a task returns; views of shared data arrive as arrays that can be written."""
    stream = io.BytesIO()
    _ResultPickler(stream, pickle.HIGHEST_PROTOCOL).dump(thing)
    return stream.getvalue()


def dumps_apart(thing: Any, book: Book) -> Packed:
    """Pickle `thing`, functions and classes of ``__main__`` by value, leaving its large parts to `book`."""
    stream = _Stream(book)
    out_of_band = OutOfBand(book)
    _Pickler(stream, out_of_band).dump(thing)
    packed = stream.small.getvalue()
    if not stream.holes and not out_of_band.buffers:
        return packed
    return Payload(packed, tuple(stream.holes), tuple(out_of_band.buffers))


def nbytes(packed: Packed) -> int:
    """Return how many bytes of it travel with a task."""
    return len(packed) if isinstance(packed, bytes) else len(packed.stream)


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


def loads(packed: Packed, maps: Maps) -> Any:
    """Unpickle what `dumps_apart` has packed, around the files on this node.

    Raises
    ------
    DataMissing
        A file is not there, or is not what was sent.
    """
    if isinstance(packed, bytes):
        return pickle.loads(packed)
    buffers = [maps.content(part) for part in packed.buffers]
    return join(packed.stream, [(offset, maps.content(part)) for offset, part in packed.holes], buffers)


def join(stream: bytes | memoryview, holes: Sequence[tuple[int, memoryview]], buffers: Sequence[Any]) -> Any:
    """Unpickle a stream with its holes filled and its buffers given."""
    if not holes:
        return pickle.loads(stream, buffers=buffers)
    parts, end = [], 0
    for offset, content in holes:
        parts += [memoryview(stream)[end:offset], content]
        end = offset
    parts.append(memoryview(stream)[end:])
    return pickle.Unpickler(io.BufferedReader(_Joined(parts)), buffers=buffers).load()


class _Joined(io.RawIOBase):
    """Several pieces, read as one file."""

    def __init__(self, parts: list[memoryview]) -> None:
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
