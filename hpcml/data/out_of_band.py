"""Pickles without their large parts: a task is sent without the data that it refers to.

Three kinds of large parts leave the pickle, wherever in an object they are found: arrays (`reduce_array`),
out-of-band buffers of objects (protocol 5: frames of pandas and Arrow), and any other piece of bytes that the
pickler writes at once (bytes, strings). The first two are rebuilt around the node's file; the third must be
copied from it.
"""

import io
import pickle
from collections.abc import Callable, Hashable
from concurrent.futures import Executor
from types import MethodType
from typing import Any

import cloudpickle

from hpcml.data.arrays import Array, address, is_mapped, reduce_array, reduce_returned
from hpcml.data.call_data import CallData
from hpcml.data.deap import reduce_individual
from hpcml.data.decorated import reduce_decorated
from hpcml.data.exceptions import reduce_error
from hpcml.data.file_maps import reduce_map, reduce_read_only
from hpcml.data.function_objects import FunctionObjects, Objects
from hpcml.data.map_modes import is_file_map, is_masked_map
from hpcml.data.packed import LargePart, Packed, Payload, Referring
from hpcml.data.random_state import reduce_generator
from hpcml.data.slotted_classes import with_slots
from hpcml.data.staging.store import DataReference

__all__ = [
    "OutOfBand",
    "Packer",
    "dumps_result",
    "reducers",
]

PICKLER_FRAME_NBYTES = 1 << 17  # the pickler collects small parts into pieces that stay below this


reducers: dict[type, Callable[[Any, "OutOfBand"], tuple[Any, ...]]] = {}
"""Types with content of their own, such as broadcast handles. Each has a function of an object and the pickle's
buffers, which returns how the pickle builds the object (`pickle.Pickler.reducer_override`)."""


class _Stream:
    """File that the pickler writes to; large pieces are left out of it."""

    def __init__(self, data: CallData) -> None:
        self.data = data
        self.limit = max(data.limit, PICKLER_FRAME_NBYTES)
        self.small = io.BytesIO()
        self.holes: list[tuple[int, DataReference]] = []

    def write(self, piece: Any) -> None:
        """Take one piece of the pickle, as a file does."""
        if not isinstance(piece, bytes):  # a bytearray, or a buffer that stays in the pickle
            piece = memoryview(piece).cast("B")
        if len(piece) > self.limit:
            reference = self.data.reference((address(piece), len(piece)), piece, lambda: memoryview(piece))
            self.holes.append((self.small.tell(), reference))
        else:
            self.small.write(piece)


class OutOfBand:
    """Buffers that leave a pickle, in order; apart from the pickler, which would be a cycle of references.

    Parameters
    ----------
    sends
        How often the pickle is going to be sent.
    """

    def __init__(self, data: CallData, sends: int) -> None:
        self.data = data
        self.limit = data.limit
        self.smallest = data.smallest
        self.buffers: list[LargePart] = []
        self._sends = sends
        self._placeholders: dict[int, tuple[pickle.PickleBuffer, LargePart]] = {}

    def make_reference(
        self, nbytes: int, key: Hashable, owner: Any, produce: Callable[[], memoryview]
    ) -> pickle.PickleBuffer | None:
        """Return a placeholder for content, None to leave it in the pickle; see `reduce_array`."""
        reference: DataReference | None
        if nbytes > self.limit:
            reference = self.data.reference((key, nbytes), owner, produce)
        else:
            reference = self.data.reference_if_frequent((key, nbytes), owner, produce, self._sends)
        return None if reference is None else self.placeholder(reference)

    def placeholder(self, reference: LargePart) -> pickle.PickleBuffer:
        """Return an empty buffer, in whose place the worker finds the content."""
        buffer = pickle.PickleBuffer(bytearray())  # not bytes: the pickle would forbid writing to private content
        self._placeholders[id(buffer)] = (buffer, reference)
        return buffer

    def __call__(self, buffer: pickle.PickleBuffer) -> bool:
        """Take a buffer that is pickled; True leaves it in the pickle."""
        if id(buffer) in self._placeholders:
            self.buffers.append(self._placeholders[id(buffer)][1])
            return False
        content = buffer.raw()
        if content.nbytes <= self.limit:
            return True
        key = (address(content), content.nbytes)
        self.buffers.append(self.data.reference(key, content.obj, lambda: content))
        return False


def _reduce_array(array: Array[Any, Any], out_of_band: OutOfBand) -> tuple[Any, ...] | None:
    """Return how the pickle of a call builds `array`.

    A writable map of a file is sent as that file; an array over any other map that is read-only stays so.
    """
    if out_of_band.data.maps_as_files and is_file_map(array):
        return reduce_map(array, flush=out_of_band.data.store.distant)
    large = array.nbytes > out_of_band.smallest or is_masked_map(array)
    reduced = reduce_array(array, out_of_band.make_reference) if large else None
    return reduce_read_only(array, reduced) if is_mapped(array) else reduced


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    """Pickler of cloudpickle's that leaves large content out."""

    def __init__(self, stream: _Stream, out_of_band: OutOfBand) -> None:
        super().__init__(stream, pickle.HIGHEST_PROTOCOL, out_of_band)
        self.out_of_band = out_of_band
        self.smallest = out_of_band.smallest

    def reducer_override(self, thing: Any) -> Any:
        """Return how `thing` is reduced; see `pickle.Pickler.reducer_override`."""
        reduced = None
        if isinstance(thing, Array):
            reduced = _reduce_array(thing, self.out_of_band)
        elif type(thing) in reducers:
            reduced = reducers[type(thing)](thing, self.out_of_band)
        elif isinstance(thing, BaseException):
            reduced = reduce_error(thing)
        elif type(thing) is MethodType and isinstance(thing.__self__, Executor):
            reduced = getattr, (thing.__self__, thing.__name__)  # of a Cluster, which is another class in a task
        if reduced is None:
            reduced = reduce_individual(thing) or reduce_generator(thing) or reduce_decorated(thing)
        return with_slots(thing, super().reducer_override(thing)) if reduced is None else reduced


class _ResultPickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Pickler of cloudpickle's for results; arrays over read-only data become the caller's own."""

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
    """Pickler that writes a number in place of each object of the function, which the worker has already."""

    def __init__(self, stream: _Stream, out_of_band: OutOfBand, objects: Objects) -> None:
        super().__init__(stream, out_of_band)
        self._objects = objects

    def persistent_id(self, thing: Any) -> int | None:
        """Return the number of `thing`; see `pickle.Pickler.persistent_id`."""
        known = self._objects.get(id(thing))
        return None if known is None else known[0]


class Packer:
    """Pickles, functions and classes of ``__main__`` by value, without their large parts, which go to `data`."""

    def __init__(self, data: CallData) -> None:
        self._data = data
        self._shares = False  # whether arguments were found that share objects with the function

    def pack(self, thing: Any) -> Packed:
        """Pickle any object."""
        return self._dump(thing)[0]

    def pack_function(self, function: Any, sends: int = 1) -> tuple[Packed, FunctionObjects]:
        """Pickle a function that is going to be sent so many times.

        Return also the objects in the pickle.
        """
        packed, pickler = self._dump(function, sends=sends)
        self._shares = False
        return packed, FunctionObjects(pickler.memo.copy())

    def pack_arguments(self, arguments: Any, objects: FunctionObjects) -> Packed | Referring:
        """Pickle the arguments of a call of a function that consists of `objects`.

        An object of the function that is also in the arguments is one object on the worker too.
        """
        if not self._shares:
            packed, pickler = self._dump(arguments)
            if not objects.are_in(pickler.memo.copy()):
                return packed
            self._shares = True
        return Referring(self._dump(arguments, objects.by_id)[0])

    def _dump(self, thing: Any, objects: Objects | None = None, sends: int = 1) -> tuple[Packed, _Pickler]:
        stream = _Stream(self._data)
        out_of_band = OutOfBand(self._data, sends)
        if objects is None:
            pickler = _Pickler(stream, out_of_band)
        else:
            pickler = _ReferringPickler(stream, out_of_band, objects)
        pickler.dump(thing)
        packed = stream.small.getvalue()
        if not stream.holes and not out_of_band.buffers:
            return packed, pickler
        return Payload(packed, tuple(stream.holes), tuple(out_of_band.buffers)), pickler


def dumps_result(thing: Any) -> bytes:
    """Pickle a result of a task; views of shared data become arrays that can be written."""
    stream = io.BytesIO()
    _ResultPickler(stream, pickle.HIGHEST_PROTOCOL).dump(thing)
    return stream.getvalue()
