"""How calls are made ready to travel; one that an earlier life of the run has finished does not travel at all."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

from hpcml.callbook import CallBook
from hpcml.keys import IGNORED_ARGUMENTS, Keys, is_named
from hpcml.ledger import Ledger
from hpcml.payload import Packed
from hpcml.pickling import pack_arguments, pack_object
from hpcml.task import Call, Known, name_of

__all__ = ["Calls"]

log = logging.getLogger("hpcml")

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
            known = self._digests.get(id(function))
            digest = known[1] if known is not None else self._keys.digest(function)
            if same:
                self._digests[id(function)] = (function, digest)
            if name in IGNORED_ARGUMENTS:
                kwargs = {key: value for key, value in kwargs.items() if key not in IGNORED_ARGUMENTS[name]}
            what = (digest, *args) if not kwargs else ((digest,), tuple(args), kwargs)  # like no call without
            return self._ledger.key(self._keys.digest(what))
        except Exception as error:  # if it cannot be pickled at all, packing it says so
            if name not in _warned:
                _warned.add(name)
                log.warning("calls of %s cannot be recognised when the run is resumed: %s", name, error)
            return ""
