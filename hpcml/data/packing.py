"""Functions and arguments, packed: each call apart from the others, its function once for all.

::

    cluster/calls.py          Calls         makes a call, and has its data staged, at once or later
      │  packing.py           CallPacker    pickles of function and arguments; an error names the object
      │  out_of_band.py       Packer        the pickler, which leaves large content out
      ▼
    call_data.py              CallData      content by its digest: is it new?
      │  staging/store.py     Store         content on the nodes
      ▼
    staging/sbcast.py, …      Staging       one file on each node
"""

import logging
import pickle
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from hpcml.data.arguments import Arguments, CallArguments, Each, Plain, encode_alike
from hpcml.data.call_data import CallData
from hpcml.data.function_objects import FunctionObjects
from hpcml.data.out_of_band import Packer
from hpcml.data.packed import Packed, Referring
from hpcml.data.pickling import pack_plain, raise_unpicklable
from hpcml.data.random_state import holds_generator

__all__ = ["CallPacker", "Called"]

log = logging.getLogger("hpcml")

_COPIED = (
    "%s holds a generator of random numbers: each call gets a copy of it, and all draw the same. Use random or "
    "numpy.random, which each worker has of its own, or make one in the call, from a seed among its arguments"
)
_warned: set[str] = set()  # functions: there may be a million calls of one


class Called(NamedTuple):
    """A function that is called.

    Parameters
    ----------
    name
        Its name in messages.
    sends
        How often the function is going to be sent, 0 where that is not known.
    is_stable
        Whether the function stays the same for all calls.
    """

    function: Callable[..., Any]
    name: str
    sends: int
    is_stable: bool


class CallPacker:
    """Packs the calls of one `Cluster.submit`, ``map`` or ``joblib.Parallel``.

    Parameters
    ----------
    data
        Takes the large content of the calls, which is pending until `CallData.stage`.
    wrap
        Returns the function that is sent in place of another.
    """

    def __init__(self, data: CallData, wrap: Callable[[Any], Any] | None = None) -> None:
        self._wrap = wrap
        self._packer = Packer(data)
        self._limit = data.limit
        self._classes: dict[type, Packed] = {}
        self._functions: dict[int, tuple[Any, Packed, FunctionObjects]] = {}

    def pack(
        self, called: Called, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[Packed, Packed | Referring]:
        """Return a function and the arguments of one call, packed.

        Raises
        ------
        TaskError
            A part cannot be pickled; the message names the object.
        """
        packed, objects = self._pack_function(called)
        return packed, self._pack_arguments(args, kwargs, called.name, objects)

    def pack_all(self, called: Called, calls: Sequence[CallArguments], plain: bool) -> tuple[Packed, Arguments]:
        """Return a function and the arguments of several calls, packed, all `plain` or not; see `pack`."""
        packed, objects = self._pack_function(called)
        return packed, self._pack_all_arguments(calls, called.name, objects, plain)

    def _pack_function(self, called: Called) -> tuple[Packed, FunctionObjects]:
        function, name, sends, is_stable = called
        if is_stable and id(function) in self._functions:
            return self._functions[id(function)][1:]
        sent = function if self._wrap is None else self._wrap(function)
        try:
            packed, objects = self._packer.pack_function(sent, max(sends, 1))
        except Exception as error:
            raise_unpicklable(error, f"the function {name}", {"": sent})
        if name not in _warned and holds_generator(packed if isinstance(packed, bytes) else packed.stream):
            _warned.add(name)
            log.warning(_COPIED, name)
        if is_stable:
            self._functions[id(function)] = (function, packed, objects)
        return packed, objects

    def _pack_arguments(
        self, args: Sequence[Any], kwargs: Mapping[str, Any], name: str, objects: FunctionObjects
    ) -> Packed | Referring:
        args = tuple(args)
        packed = pack_plain(args, kwargs)
        if packed is not None:
            return packed
        try:
            return self._packer.pack_arguments((args, kwargs), objects)
        except Exception as error:
            raise_unpicklable(error, f"an argument of {name}", {"args": args, "kwargs": kwargs})

    def _pack_all_arguments(
        self, calls: Sequence[CallArguments], name: str, objects: FunctionObjects, plain: bool
    ) -> Arguments:
        if plain:
            return Plain(pickle.dumps(calls, pickle.HIGHEST_PROTOCOL), 0, len(calls))
        alike = encode_alike(calls, objects.by_id, self._pack_class, self._limit)
        if alike is not None:
            return alike
        return Each(tuple(self._pack_arguments(*call, name, objects) for call in calls))

    def _pack_class(self, kind: type) -> bytes | None:
        """Pickle a class of individuals, once; None where a part of the class is large."""
        if kind not in self._classes:
            self._classes[kind] = self._packer.pack(kind)
        packed = self._classes[kind]
        return packed if isinstance(packed, bytes) else None
