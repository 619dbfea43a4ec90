"""How calls are made ready to travel; one that an earlier life of the run has finished does not travel at all."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

from hpcml.callbacks import watch
from hpcml.callbook import CallBook
from hpcml.generators import holds_generator
from hpcml.keys import IGNORED_ARGUMENTS, Keys, is_named
from hpcml.ledger import Ledger
from hpcml.payload import Packed
from hpcml.pickling import is_plain, pack_arguments, pack_many, pack_object
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
    dump
        Pickles a function or the arguments of a call.
    wrap
        What is sent in place of a function.
    """

    def __init__(
        self,
        book: CallBook,
        ledger: Ledger | None,
        dump: Callable[[Any], Packed],
        wrap: Callable[[Any], Any] | None = None,
    ) -> None:
        watch()
        self.book, self._ledger, self._dump, self._wrap = book, ledger, dump, wrap
        self.seconds: float | None = None  # that a call of a Parallel takes, once that is known
        self._keys = Keys(book.limit)
        self._digests: dict[int, tuple[Any, str]] = {}
        self._packed: dict[int, tuple[Any, Packed]] = {}

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
        packed = self.pack_function(function, travels)
        arguments = pack_arguments(tuple(args), kwargs, f"an argument of {name}", self._dump)
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
        packed = self.pack_function(function, travels)
        arguments = pack_many(
            [(tuple(calls[n][1]), calls[n][2]) for n in new], f"an argument of {name}", self._dump
        )
        return known, Call(packed, arguments, name, group, width, keys=tuple(keys[n] for n in new))

    def pack_function(self, function: Callable[..., Any], travels: int) -> Packed:
        """Return a function, packed; see `make`.

        Raises
        ------
        TaskError
            It cannot be pickled; the message names the object.
        """
        name, same = name_of(function), travels > 0 or is_named(function)
        if same and id(function) in self._packed:
            return self._packed[id(function)][1]
        sent = function if self._wrap is None else self._wrap(function)
        self.book.travels = max(travels, 1)
        packed = pack_object(sent, f"the function {name}", self._dump)
        self.book.travels = 1
        if holds_generator(packed if isinstance(packed, bytes) else packed.stream):
            _warn(_COPIED, name)
        if same:
            self._packed[id(function)] = (function, packed)
        return packed

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
    """Tell whether all calls are of one function and have `hpcml.pickling.is_plain` arguments."""
    return all(call[0] is calls[0][0] and is_plain(*call[1:]) for call in calls)
