"""How calls are made ready to travel; one that an earlier life of the run has finished does not travel at all."""

import logging
import pickle
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from hpcml.arguments import Arguments, Each, Plain, encode_alike
from hpcml.callbook import CallBook
from hpcml.generators import holds_generator
from hpcml.keys import IGNORED_ARGUMENTS, Keys, is_named
from hpcml.ledger import Ledger
from hpcml.packed import Packed, Referring
from hpcml.payload import Objects, Packer
from hpcml.pickling import is_plain, pack_object, pack_plain
from hpcml.task import Call, Known, name_of

__all__ = ["Calls", "Item", "is_uniform"]

log = logging.getLogger("hpcml")

Item = tuple[Callable[..., Any], Sequence[Any], dict[str, Any]]  # a call, as joblib has it

KEY_SECONDS = 0.002  # ten times what the key of a call with arrays or objects takes

_UNKNOWN = "calls of %s cannot be recognised when the run is resumed: %s"
_COPIED = (
    "%s holds a generator of random numbers: each call gets a copy of it, and all draw the same. Use random or "
    "numpy.random, which each worker has of its own, or make one in the call, from a seed among its arguments"
)
_warned: set[tuple[str, str]] = set()  # what was said of which function: there may be a million calls of it


class Calls:
    """Makes the calls of one `Cluster.submit`, ``map`` or ``joblib.Parallel``.

    Parameters
    ----------
    book
        Takes the data of the calls.
    ledger
        Knows what an earlier life has done; None: nothing is recorded.
    at_once
        Put their data on the nodes before they are returned.
    wrap
        What is sent in place of a function.
    """

    def __init__(
        self,
        book: CallBook,
        ledger: Ledger | None,
        at_once: bool,
        wrap: Callable[[Any], Any] | None = None,
    ) -> None:
        self.book, self._ledger, self._at_once, self._wrap = book, ledger, at_once, wrap
        self.seconds: float | None = None  # that a call of a Parallel takes, once that is known
        self._keys = Keys(book.limit)
        self._packer = Packer(book)
        self._digests: dict[int, tuple[Any, str]] = {}
        self._packed: dict[int, tuple[Any, Packed, Objects]] = {}

    def make(
        self,
        function: Callable[..., Any],
        args: Sequence[Any],
        kwargs: dict[str, Any],
        group: str,
        *,
        width: int | None = None,
        travels: int = 0,
    ) -> Call | Known:
        """Return a call, packed, or its outcome where that is known.

        Parameters
        ----------
        group, width
            See `hpcml.task.Call`.
        travels
            How often the function is going to travel, as it is now; 0: it may change from call to call.

        Raises
        ------
        TaskError
            A part of it cannot be pickled; the message names the object.
        """
        name = name_of(function)
        same = travels > 0 or is_named(function)
        key = self._key(function, args, kwargs, name, same)
        if key and self._ledger is not None and (outcome := self._ledger.answer(key)) is not None:
            return Known(outcome, group)
        packed, objects = self._pack_function(function, travels)
        arguments = self._pack_arguments(args, kwargs, name, objects)
        self._stage()
        return Call(packed, arguments, name, group, width, key)

    def make_chunk(
        self,
        function: Callable[..., Any],
        calls: Sequence[Item],
        group: str,
        width: int | None = None,
        travels: int = 0,
    ) -> tuple[list[Known | None], Call | None]:
        """Return for each of `calls`, all of one function, its outcome where that is known, and the rest as one.

        See `make` for the parameters.

        Raises
        ------
        TaskError
            A part of one cannot be pickled; the message names the object.
        """
        name = name_of(function)
        keys = self._chunk_keys(function, calls, name, travels > 0 or is_named(function))
        known: list[Known | None] = [None] * len(calls)
        if self._ledger is not None and self._ledger.known:
            answers = (self._ledger.answer(key) if key else None for key in keys)
            known = [None if outcome is None else Known(outcome, group) for outcome in answers]
        new = [number for number, one in enumerate(known) if one is None]
        if not new:
            return known, None
        packed, objects = self._pack_function(function, travels)
        arguments = self._pack_all([(tuple(calls[n][1]), calls[n][2]) for n in new], name, objects)
        self._stage()
        return known, Call(packed, arguments, name, group, width, keys=tuple(keys[n] for n in new))

    def _stage(self) -> None:
        if self._at_once:
            self.book.stage()

    def _pack_arguments(
        self, args: Sequence[Any], kwargs: dict[str, Any], name: str, objects: Objects
    ) -> Packed | Referring:
        """Pickle the arguments of one call of a function that consists of `objects`."""
        args = tuple(args)
        packed = pack_plain(args, kwargs)
        if packed is not None:
            return packed
        pack = partial(self._packer.pack_arguments, objects=objects)
        return pack_object((args, kwargs), f"an argument of {name}", pack, {"args": args, "kwargs": kwargs})

    def _pack_all(
        self, calls: Sequence[tuple[tuple[Any, ...], dict[str, Any]]], name: str, objects: Objects
    ) -> Arguments:
        """Pack the arguments of several calls, each apart from the others."""
        if all(is_plain(*call) for call in calls):
            return Plain(pickle.dumps(calls, pickle.HIGHEST_PROTOCOL), 0, len(calls))
        alike = encode_alike(calls, objects)
        if alike is not None:
            return alike
        return Each(tuple(self._pack_arguments(*call, name, objects) for call in calls))

    def _pack_function(self, function: Callable[..., Any], travels: int) -> tuple[Packed, Objects]:
        """Return a function, packed, and the objects in its pickle; see `make`.

        Raises
        ------
        TaskError
            It cannot be pickled; the message names the object.
        """
        name, same = name_of(function), travels > 0 or is_named(function)
        if same and id(function) in self._packed:
            return self._packed[id(function)][1:]
        sent = function if self._wrap is None else self._wrap(function)
        self.book.travels = max(travels, 1)
        packed, objects = pack_object(sent, f"the function {name}", self._packer.pack_function)
        self.book.travels = 1
        if holds_generator(packed if isinstance(packed, bytes) else packed.stream):
            _warn(_COPIED, name)
        if same:
            self._packed[id(function)] = (function, packed, objects)
        return packed, objects

    def _key(
        self, function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any], name: str, same: bool
    ) -> str:
        """Return what the journal knows a call by, "" where it cannot be told from others."""
        if self._ledger is None:
            return ""
        try:
            digest = self._digest(function, same)
            if name in IGNORED_ARGUMENTS:
                kwargs = {key: value for key, value in kwargs.items() if key not in IGNORED_ARGUMENTS[name]}
            return self._ledger.keys([self._keys.digest(_what(digest, args, kwargs))])[0]
        except Exception as error:  # if it cannot be pickled at all, packing it says so
            _warn(_UNKNOWN, name, error)
            return ""

    def _chunk_keys(self, function: Callable[..., Any], calls: Sequence[Item], name: str, same: bool) -> list[str]:
        """Return the keys of short calls; "" where a key would take longer than the call itself."""
        if self._ledger is None or (
            self.seconds is not None
            and self.seconds < KEY_SECONDS
            and not all(is_plain(args, kwargs) for _, args, kwargs in calls)
        ):
            return [""] * len(calls)
        try:
            digest = self._digest(function, same)
            of_call = self._keys.digest
            digests = [of_call(_what(digest, args, kwargs)) for _, args, kwargs in calls]
        except Exception as error:
            _warn(_UNKNOWN, name, error)
            return [""] * len(calls)
        return self._ledger.keys(digests)

    def _digest(self, function: Callable[..., Any], same: bool) -> str:
        known = self._digests.get(id(function))
        digest = known[1] if known is not None else self._keys.digest(function)
        if same:
            self._digests[id(function)] = (function, digest)
        return digest


def _what(function: str, args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    """Return what a call is, so that one with keywords is like none without."""
    return ((function,), tuple(args), kwargs) if kwargs else (function, *args)


def _warn(message: str, name: str, *words: object) -> None:
    if (message, name) not in _warned:
        _warned.add((message, name))
        log.warning(message, name, *words)


def is_uniform(calls: Sequence[Item]) -> bool:
    """Tell whether all calls are of one function."""
    return all(call[0] is calls[0][0] for call in calls)
