"""How calls are made ready to travel; one that an earlier life of the run has finished does not travel at all."""

import logging
import pickle
from collections.abc import Callable, Sequence
from typing import Any

from hpcml.callbook import CallBook
from hpcml.keys import IGNORED_ARGUMENTS, Keys, is_named
from hpcml.ledger import Ledger
from hpcml.payload import Packed
from hpcml.pickling import is_plain, pack_arguments, pack_object
from hpcml.task import Call, Known, name_of

__all__ = ["Calls", "Item", "chunk_length"]

log = logging.getLogger("hpcml")

Item = tuple[Callable[..., Any], Sequence[Any], dict[str, Any]]  # a call, as joblib has it

CHUNK_SECONDS = 0.05  # a quarter of a frame
LONGEST_CHUNK = 10_000

_warned: set[str] = set()  # the functions whose calls could not be recognised


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
        packed = self._function(function, name, same, max(travels, 1))
        arguments = pack_arguments(tuple(args), kwargs, f"an argument of {name}", self._dump)
        return Call(packed, arguments, name, group, width, key)

    def make_chunk(
        self, function: Callable[..., Any], calls: Sequence[Item], group: str, width: int | None
    ) -> tuple[list[Known | None], Call | None]:
        """Return for each of `calls` its outcome, where that is known, and one chunk of the others.

        All are of one function, with `hpcml.pickling.is_plain` arguments.
        """
        name = name_of(function)
        keys = self._chunk_keys(function, calls, name)
        known: list[Known | None] = [None] * len(calls)
        if self._ledger is not None and self._ledger.known:
            answers = (self._ledger.answer(key) if key else None for key in keys)
            known = [None if outcome is None else Known(outcome, group) for outcome in answers]
        new = [number for number, one in enumerate(known) if one is None]
        if not new:
            return known, None
        packed = self._function(function, name, is_named(function), 1)
        arguments = pickle.dumps([(tuple(calls[n][1]), calls[n][2]) for n in new], pickle.HIGHEST_PROTOCOL)
        return known, Call(packed, arguments, name, group, width, keys=tuple(keys[n] for n in new))

    def _function(self, function: Callable[..., Any], name: str, same: bool, travels: int) -> Packed:
        if same and id(function) in self._packed:
            return self._packed[id(function)][1]
        sent = function if self._wrap is None else self._wrap(function)
        self.book.travels = travels
        packed = pack_object(sent, f"the function {name}", self._dump)
        self.book.travels = 1
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
            _warn(name, error)
            return ""

    def _chunk_keys(self, function: Callable[..., Any], calls: Sequence[Item], name: str) -> list[str]:
        if self._ledger is None:
            return [""] * len(calls)
        try:
            digest = self._digest(function, is_named(function))
        except Exception as error:
            _warn(name, error)
            return [""] * len(calls)
        of_call = self._keys.digest
        return self._ledger.keys([of_call(_what(digest, args, kwargs)) for _, args, kwargs in calls])

    def _digest(self, function: Callable[..., Any], same: bool) -> str:
        known = self._digests.get(id(function))
        digest = known[1] if known is not None else self._keys.digest(function)
        if same:
            self._digests[id(function)] = (function, digest)
        return digest


def _what(function: str, args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    """Return what a call is, so that one with keywords is like none without."""
    return ((function,), tuple(args), kwargs) if kwargs else (function, *args)


def _warn(name: str, error: Exception) -> None:
    if name not in _warned:
        _warned.add(name)
        log.warning("calls of %s cannot be recognised when the run is resumed: %s", name, error)


def chunk_length(calls: Sequence[Item], seconds: float | None) -> int:
    """Return how many calls of a joblib batch, of `seconds` each (None: not known), should travel as one.

    Only those of one function with `hpcml.pickling.is_plain` arguments can.

    Examples
    --------
    >>> from hpcml.calls import chunk_length
    >>> calls = [(abs, (number,), {}) for number in range(1000)]
    >>> chunk_length(calls, None), chunk_length(calls, 0.001), chunk_length([(abs, ([],), {})] * 1000, 0.001)
    (1, 50, 1)
    """
    if seconds is None or seconds > CHUNK_SECONDS / 2:
        return 1
    length = min(len(calls), int(CHUNK_SECONDS / max(seconds, 1e-9)), LONGEST_CHUNK)
    if any(call[0] is not calls[0][0] or not is_plain(*call[1:]) for call in calls):
        return 1
    return length
