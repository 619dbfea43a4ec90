"""Calls, packed to be sent; one that an earlier session of the run has finished is not sent at all."""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any

from hpcml.data.call_data import CallData
from hpcml.data.callbacks import send_callbacks
from hpcml.data.definitions import is_named
from hpcml.data.envelope import Call, RecordedOutcome, name_of
from hpcml.data.outcomes import Outcome
from hpcml.data.packing import Called, CallPacker
from hpcml.data.pickling import is_plain
from hpcml.journal.call_keys import IGNORED_ARGUMENTS, CallKeys
from hpcml.journal.object_digests import ObjectDigest
from hpcml.journal.run_journal import RunJournal

__all__ = ["Calls", "Item", "is_uniform"]

log = logging.getLogger("hpcml")

Item = tuple[Callable[..., Any], Sequence[Any], dict[str, Any]]  # a call, as joblib has it

KEY_SHARE = 0.1  # of the time of short calls that their keys may take
KEY_SECONDS = 3e-5  # that the key of a call with lists or objects takes, until that is known

_UNKNOWN = "calls of %s cannot be recognised when the run is resumed: %s"
_warned: set[tuple[str, str]] = set()  # what was said of which function: there may be a million calls of it


class Calls:
    """Makes the calls of one `Cluster.submit`, ``map`` or ``joblib.Parallel``.

    Parameters
    ----------
    data
        Takes the large data of the calls.
    run_journal
        Has the results of earlier sessions; None: nothing is recorded.
    at_once
        Put their data on the nodes before they are returned.
    wrap
        Returns what is sent in place of a function.
    """

    def __init__(
        self,
        data: CallData,
        run_journal: RunJournal | None,
        at_once: bool,
        wrap: Callable[[Any], Any] | None = None,
    ) -> None:
        send_callbacks()
        self.data = data
        self._run_journal = run_journal
        self._at_once = at_once
        self._packer = CallPacker(data, wrap)
        self.prepared: Any = None  # what workers call before: the results may depend on it
        self.seconds: float | None = None  # that a call of a Parallel takes, once that is known
        self._keys = CallKeys(data.digests)
        self._digests: dict[int, tuple[Any, ObjectDigest]] = {}

    def make(
        self,
        function: Callable[..., Any],
        args: Sequence[Any],
        kwargs: dict[str, Any],
        group: str,
        *,
        width: int | None = None,
        sends: int = 0,
    ) -> Call | RecordedOutcome:
        """Return a call, packed, or its outcome where that is known.

        Parameters
        ----------
        group, width
            See `hpcml.data.envelope.Call`.
        sends
            How often the function is going to be sent, as it is now; 0: it may change from call to call.

        Raises
        ------
        TaskError
            A part of it cannot be pickled; the message names the object.
        """
        name = name_of(function)
        same = sends > 0 or is_named(function)
        keys, classes = self._chunk_keys(function, [(function, args, kwargs)], name, same, _never)
        known = self._answers(keys, classes)[0]
        if known is not None:
            return RecordedOutcome(known, group)
        packed, arguments = self._packer.pack(Called(function, name, sends, same), args, kwargs)
        if self._at_once:
            self.data.stage()
        return Call(packed, arguments, name, group, width, keys[0])

    def make_chunk(
        self,
        function: Callable[..., Any],
        calls: Sequence[Item],
        group: str,
        width: int | None = None,
        sends: int = 0,
    ) -> tuple[list[RecordedOutcome | None], Call | None]:
        """Return for each of `calls`, all of one function, its outcome where that is known, and the rest as one.

        See `make` for the parameters.

        Raises
        ------
        TaskError
            A part of one cannot be pickled; the message names the object.
        """
        name = name_of(function)
        same = sends > 0 or is_named(function)
        plain = cache(lambda: all(is_plain(args, kwargs) for _, args, kwargs in calls))
        keys, classes = self._chunk_keys(function, calls, name, same, plain)
        answers = self._answers(keys, classes)
        known = [None if outcome is None else RecordedOutcome(outcome, group) for outcome in answers]
        new = [number for number, one in enumerate(known) if one is None]
        if not new:
            return known, None
        given = [(tuple(calls[n][1]), calls[n][2]) for n in new]
        packed, arguments = self._packer.pack_all(Called(function, name, sends, same), given, plain())
        if self._at_once:
            self.data.stage()
        return known, Call(packed, arguments, name, group, width, keys=tuple(keys[n] for n in new))

    def _answers(self, keys: Sequence[str], classes: Iterable[type]) -> list[Outcome | None]:
        """Return for each key the outcome that an earlier session has recorded."""
        if self._run_journal is None or not self._run_journal.reusable:
            return [None] * len(keys)
        return [self._run_journal.recorded_outcome(key, classes) if key else None for key in keys]

    def _chunk_keys(
        self,
        function: Callable[..., Any],
        calls: Sequence[Item],
        name: str,
        same: bool,
        plain: Callable[[], bool],
    ) -> tuple[list[str], Iterable[type]]:
        """Return what the journal knows calls by, and the classes of the script that they hold.

        A key is "" where a call does not differ from others, or the key would take more than a small share of a
        call's own time; not where all calls are `plain`, for then keys take next to no time.
        """
        self._keys.digests.forget()
        if self._run_journal is None or (len(calls) > 1 and self._is_costly(name) and not plain()):
            return [""] * len(calls), ()
        try:
            digest = self._digest(function, same)
            written = self._written(digest, calls[:1], name)  # takes longer than others
            for some in (calls[1:2], calls[2:]):
                began = time.thread_time()  # not of the wall: the threads of a driver compete
                written += self._written(digest, some, name)
                if some:
                    self._run_journal.key_seconds[name] = (time.thread_time() - began) / len(some)
                if len(written) == 2 and self._is_costly(name) and not plain():
                    return [""] * len(calls), ()
        except Exception as error:  # if it cannot be pickled at all, packing it says so
            _warn(_UNKNOWN, name, error)
            return [""] * len(calls), ()
        classes = {kind for one in (digest, *written) for kind in one.classes}
        self._run_journal.note_classes(classes)
        return self._run_journal.number_keys([one.digest for one in written]), classes

    def _written(self, digest: ObjectDigest, calls: Sequence[Item], name: str) -> list[ObjectDigest]:
        ignored = IGNORED_ARGUMENTS.get(name)
        if ignored is None:
            return [self._keys.call_digest(digest, args, kwargs) for _, args, kwargs in calls]
        kept = [{key: kwargs[key] for key in kwargs if key not in ignored} for _, _, kwargs in calls]
        pairs = zip(calls, kept, strict=True)
        return [self._keys.call_digest(digest, args, named) for (_, args, _), named in pairs]

    def _is_costly(self, name: str) -> bool:
        """Tell whether a key takes too much of the time of short calls; now and then one is made to see.

        None does while there are results to recall: their calls have had keys.
        """
        if self._run_journal is None or self._run_journal.reusable or self.seconds is None:
            return False
        seconds = self._run_journal.key_seconds.get(name, KEY_SECONDS)
        if seconds < KEY_SHARE * self.seconds:
            return False
        self._run_journal.key_seconds[name] = seconds * 0.9
        return True

    def _digest(self, function: Callable[..., Any], same: bool) -> ObjectDigest:
        known = self._digests.get(id(function))
        digest = known[1] if known is not None else self._keys.object_digest(self._whole(function))
        if same:
            self._digests[id(function)] = (function, digest)
        return digest

    def _whole(self, function: Callable[..., Any]) -> Any:
        return function if self.prepared is None else (self.prepared, function)


def _warn(message: str, name: str, *words: object) -> None:
    if (message, name) not in _warned:
        _warned.add((message, name))
        log.warning(message, name, *words)


def _never() -> bool:
    return False


def is_uniform(calls: Sequence[Item]) -> bool:
    """Tell whether all calls are of one function."""
    return all(call[0] is calls[0][0] for call in calls)
