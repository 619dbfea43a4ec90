"""Functions and arguments, packed: each call apart from the others, its function once for all."""

import logging
import pickle
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from hpcml.data.arguments import Arguments, Each, Plain, encode_alike
from hpcml.data.call_data import CallData
from hpcml.data.out_of_band import Objects, Packer
from hpcml.data.packed import Packed, Referring
from hpcml.data.pickling import pack_object, pack_plain
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
        What messages call it.
    sends
        How often the function is going to be sent, 0 where that is not known.
    same
        Whether the function stays the same for all calls.
    """

    function: Callable[..., Any]
    name: str
    sends: int
    same: bool


class CallPacker:
    """Packs the calls of one `Cluster.submit`, ``map`` or ``joblib.Parallel``.

    Parameters
    ----------
    book
        Takes the data of the calls.
    at_once
        Put their data on the nodes as soon as a call is packed.
    wrap
        Returns what is sent in place of a function.
    """

    def __init__(self, book: CallData, at_once: bool, wrap: Callable[[Any], Any] | None = None) -> None:
        self._book = book
        self._at_once = at_once
        self._wrap = wrap
        self._packer = Packer(book)
        self._classes: dict[type, Packed] = {}
        self._functions: dict[int, tuple[Any, Packed, Objects]] = {}

    def pack(self, called: Called, args: Sequence[Any], kwargs: Any) -> tuple[Packed, Packed | Referring]:
        """Return a function and the arguments of one call, packed.

        Raises
        ------
        TaskError
            A part cannot be pickled; the message names the object.
        """
        packed, objects = self._function(called)
        arguments = self._arguments(args, kwargs, called.name, objects)
        if self._at_once:
            self._book.stage()
        return packed, arguments

    def pack_all(self, called: Called, calls: Sequence[tuple[Any, Any]], plain: bool) -> tuple[Packed, Arguments]:
        """Return a function and the arguments of several calls, packed, all `plain` or not; see `pack`."""
        packed, objects = self._function(called)
        arguments = self._all(calls, called.name, objects, plain)
        if self._at_once:
            self._book.stage()
        return packed, arguments

    def _all(self, calls: Sequence[tuple[Any, Any]], name: str, objects: Objects, plain: bool) -> Arguments:
        if plain:
            return Plain(pickle.dumps(calls, pickle.HIGHEST_PROTOCOL), 0, len(calls))
        alike = encode_alike(calls, objects, self._class)
        if alike is not None:
            return alike
        return Each(tuple(self._arguments(*call, name, objects) for call in calls))

    def _class(self, kind: type) -> bytes | None:
        """Pickle a class of individuals, once."""
        if kind not in self._classes:
            self._classes[kind] = self._packer.pack(kind)
        packed = self._classes[kind]
        return packed if isinstance(packed, bytes) else None

    def _arguments(self, args: Sequence[Any], kwargs: Any, name: str, objects: Objects) -> Packed | Referring:
        args = tuple(args)
        packed = pack_plain(args, kwargs)
        if packed is not None:
            return packed
        pack = partial(self._packer.pack_arguments, objects=objects)
        return pack_object((args, kwargs), f"an argument of {name}", pack, {"args": args, "kwargs": kwargs})

    def _function(self, called: Called) -> tuple[Packed, Objects]:
        function, name, sends, same = called
        if same and id(function) in self._functions:
            return self._functions[id(function)][1:]
        sent = function if self._wrap is None else self._wrap(function)
        self._book.sends = max(sends, 1)
        packed, objects = pack_object(sent, f"the function {name}", self._packer.pack_function)
        self._book.sends = 1
        if name not in _warned and holds_generator(packed if isinstance(packed, bytes) else packed.stream):
            _warned.add(name)
            log.warning(_COPIED, name)
        if same:
            self._functions[id(function)] = (function, packed, objects)
        return packed, objects
