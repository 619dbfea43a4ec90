"""Pickles whose large parts stay behind: how a task is sent without the data that it refers to.

Three kinds of large parts leave the pickle, wherever in an object they are found: arrays (`reduce_array`),
buffers that their objects give away (protocol 5: frames of pandas and Arrow), and any other stretch of bytes
that the pickler writes in one piece (bytes, strings). The first two are rebuilt around the node's file; the
third must be copied from it.
"""

import enum
import io
import pickle
from collections.abc import Callable, Hashable
from concurrent.futures import Executor
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any, Protocol

import cloudpickle

from hpcml.data.arrays import Array, address, is_constant, reduce_returned, reduce_sent
from hpcml.data.deap import reduce_individual
from hpcml.data.decorated import reduce_decorated
from hpcml.data.definitions import is_named
from hpcml.data.exceptions import reduce_error
from hpcml.data.packed import Packed, Payload, Referring
from hpcml.data.random_state import reduce_generator
from hpcml.data.slotted_classes import with_slots

__all__ = [
    "ContentSink",
    "Objects",
    "OutOfBand",
    "Packer",
    "dumps_result",
    "reduces",
]

FRAME = 1 << 17  # bytes; the pickler collects small parts into pieces that stay below this


Objects = dict[int, tuple[int, Any]]
"""Objects in a pickle, by their ids: each with its number in the memo."""


class ContentSink(Protocol):
    """Takes large content during one call, and knows what it has taken."""

    @property
    def limit(self) -> float:
        """Content of more bytes than this is taken."""

    @property
    def smallest(self) -> float:
        """Arrays of more bytes than this are taken when they have been sent often."""

    @property
    def store(self) -> Any:
        """Where the content goes."""

    @property
    def maps(self) -> bool:
        """Writable maps of files are sent as their file; else they are content."""

    def take(self, key: Hashable, owner: Any, produce: Callable[[], memoryview]) -> Any:
        """Return what stands for the content; `key` holds while `owner` lives."""

    def take_often(self, key: Hashable, owner: Any, produce: Callable[[], memoryview]) -> Any:
        """Return what stands for the content, None where it has not been sent often; see `take`."""


reduces: dict[type, Callable[[Any, "OutOfBand"], tuple[Any, ...]]] = {}
"""Types with content of their own: a function of an object and the pickle's buffers, which returns how the
pickle builds the object (`pickle.Pickler.reducer_override`)."""


class _Stream:
    """Where the pickler writes: large pieces go to the book."""

    def __init__(self, book: ContentSink) -> None:
        self.book = book
        self.limit = max(book.limit, FRAME)
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

    def __init__(self, book: ContentSink) -> None:
        self.book = book
        self.limit = book.limit
        self.smallest = book.smallest
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
        self.out_of_band = out_of_band
        self.smallest = out_of_band.smallest

    def reducer_override(self, thing: Any) -> Any:
        """Return how `thing` is reduced; see `pickle.Pickler.reducer_override`."""
        reduced = None
        if isinstance(thing, Array):
            reduced = reduce_sent(thing, self.out_of_band)
        elif type(thing) in reduces:
            reduced = reduces[type(thing)](thing, self.out_of_band)
        elif isinstance(thing, BaseException):
            reduced = reduce_error(thing)
        elif type(thing) is MethodType and isinstance(thing.__self__, Executor):
            reduced = getattr, (thing.__self__, thing.__name__)  # a Cluster's own: it arrives as another class
        if reduced is None:
            reduced = reduce_individual(thing) or reduce_generator(thing) or reduce_decorated(thing)
        return with_slots(thing, super().reducer_override(thing)) if reduced is None else reduced


class _ResultPickler(cloudpickle.Pickler):  # type: ignore[misc]
    """cloudpickle's; what a task returns of read-only data becomes the caller's own."""

    def reducer_override(self, thing: Any) -> Any:
        """Return how `thing` is reduced; see `pickle.Pickler.reducer_override`."""
        if isinstance(thing, BaseException):
            return reduce_error(thing, dumps_result)
        if isinstance(thing, Array):
            reduced = reduce_returned(thing)
        else:
            reduced = reduce_individual(thing) or reduce_decorated(thing)
        return with_slots(thing, super().reducer_override(thing)) if reduced is None else reduced


class _ReferringPickler(_Pickler):
    """One that writes a number in place of an object that is there already, where the pickle is loaded."""

    def __init__(self, stream: _Stream, out_of_band: OutOfBand, objects: Objects) -> None:
        super().__init__(stream, out_of_band)
        self._objects = objects

    def persistent_id(self, thing: Any) -> int | None:
        """Return the number of `thing`; see `pickle.Pickler.persistent_id`."""
        known = self._objects.get(id(thing))
        return None if known is None else known[0]


class Packer:
    """Pickles, functions and classes of ``__main__`` by value, without large parts: `book` takes these."""

    def __init__(self, book: ContentSink) -> None:
        self._book = book
        self._shares = False  # whether arguments were found that share objects with the function

    def pack(self, thing: Any) -> Packed:
        """Pickle any object."""
        return self._dump(thing, None)[0]

    def pack_function(self, function: Any) -> tuple[Packed, Objects]:
        """Pickle a function; return also what is in the pickle and has an identity that calls can see."""
        packed, pickler = self._dump(function, None)
        self._shares = False
        return packed, {key: entry for key, entry in pickler.memo.copy().items() if _has_identity(entry[1])}

    def pack_arguments(self, arguments: Any, objects: Objects) -> Packed | Referring:
        """Pickle the arguments of a call of a function that consists of `objects`.

        An object of the function that is also in the arguments is one object on the worker too.
        """
        if not self._shares:
            packed, pickler = self._dump(arguments, None)
            if not objects or objects.keys().isdisjoint(pickler.memo.copy()):
                return packed
            self._shares = True
        return Referring(self._dump(arguments, objects)[0])

    def _dump(self, thing: Any, objects: Objects | None) -> tuple[Packed, Any]:
        stream, out_of_band = _Stream(self._book), OutOfBand(self._book)
        pickler = (
            _Pickler(stream, out_of_band) if objects is None else _ReferringPickler(stream, out_of_band, objects)
        )
        pickler.dump(thing)
        packed = stream.small.getvalue()
        if not stream.holes and not out_of_band.buffers:
            return packed, pickler
        return Payload(packed, tuple(stream.holes), tuple(out_of_band.buffers)), pickler


_WITHOUT_IDENTITY = (str, bytes, int, float, complex, type(None), type, CodeType, ModuleType, enum.Enum)


def _has_identity(thing: Any) -> bool:
    """Tell whether it matters that an object is one and the same in two places of a pickle."""
    if isinstance(thing, _WITHOUT_IDENTITY) or is_constant(thing):
        return False
    return not (isinstance(thing, FunctionType) and is_named(thing))


def dumps_result(thing: Any) -> bytes:
    """Pickle a result of a task; views of shared data arrive as arrays that can be written."""
    stream = io.BytesIO()
    _ResultPickler(stream, pickle.HIGHEST_PROTOCOL).dump(thing)
    return stream.getvalue()
