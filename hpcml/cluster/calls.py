"""Makes calls: packed to be sent, or with the outcome that an earlier session of the run has recorded."""

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

Item = tuple[Callable[..., Any], Sequence[Any], dict[str, Any]]
"""Function, arguments and keyword arguments of a call, as in joblib."""

MAX_KEY_SHARE = 0.1  # part of the time of short calls that their keys may take
FIRST_KEY_SECONDS = 3e-5  # estimate for a call with lists or objects, until one is measured

_NO_KEY = "calls of %s cannot be recognised when the run is resumed: %s"
_warned: set[str] = set()  # names of functions: there may be a million calls of one


class Calls:
    """Makes the calls of one `Cluster.submit`, ``map`` or ``joblib.Parallel``.

    Parameters
    ----------
    data
        Takes the large data of the calls.
    run_journal
        Has the results of earlier sessions; None: nothing is recorded.
    at_once
        Put their data on the nodes before they are returned; else the caller does, before it sends them.
    wrap
        Returns the function that is sent in place of another.
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
        self._keys = CallKeys(data.digests)
        self._function_digests: dict[int, tuple[Any, ObjectDigest]] = {}
        # An initializer with its arguments, which workers call before: the results may depend on it.
        self.prepared: tuple[Callable[..., Any], tuple[Any, ...]] | None = None
        self.seconds: float | None = None  # measured time of one call of this map or Parallel, once known

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
        """Return a call, packed, or its outcome where an earlier session has recorded it.

        Parameters
        ----------
        group, width
            See `hpcml.data.envelope.Call`.
        sends
            How often the function is going to be sent, as it is now; 0: it may change from call to call.

        Raises
        ------
        TaskError
            A part of the call cannot be pickled; the message names the object.
        """
        name = name_of(function)
        called = Called(function, name, sends, sends > 0 or is_named(function))
        keys, classes = self._keys_of(called, [(function, args, kwargs)], lambda: False)
        recorded = self._recorded_outcomes(keys, classes)[0]
        if recorded is not None:
            return RecordedOutcome(recorded, group)
        packed, arguments = self._packer.pack(called, args, kwargs)
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
        """Return the recorded outcome of each of `calls`, None for others, and a chunk of these others.

        All calls are of one function.

        See `make` for the parameters.

        Raises
        ------
        TaskError
            A part of a call cannot be pickled; the message names the object.
        """
        name = name_of(function)
        called = Called(function, name, sends, sends > 0 or is_named(function))
        are_plain = cache(lambda: all(is_plain(args, kwargs) for _, args, kwargs in calls))
        keys, classes = self._keys_of(called, calls, are_plain)
        outcomes = self._recorded_outcomes(keys, classes)
        recorded = [None if outcome is None else RecordedOutcome(outcome, group) for outcome in outcomes]
        new = [number for number, one in enumerate(recorded) if one is None]
        if not new:
            return recorded, None
        given = [(tuple(calls[n][1]), calls[n][2]) for n in new]
        packed, arguments = self._packer.pack_all(called, given, are_plain())
        if self._at_once:
            self.data.stage()
        return recorded, Call(packed, arguments, name, group, width, keys=tuple(keys[n] for n in new))

    def _recorded_outcomes(self, keys: Sequence[str], classes: Iterable[type]) -> list[Outcome | None]:
        """Return for each key the outcome that an earlier session has recorded, or None."""
        if self._run_journal is None or not self._run_journal.reusable:
            return [None] * len(keys)
        return [self._run_journal.recorded_outcome(key, classes) if key else None for key in keys]

    def _keys_of(
        self, called: Called, calls: Sequence[Item], are_plain: Callable[[], bool]
    ) -> tuple[list[str], Iterable[type]]:
        """Return the keys of calls in the journal, and the classes of the script whose objects they hold.

        A key is "" where nothing is recorded, where a call has no digest, or where the key would take
        more than a small share of a call's own time. Keys of calls that `are_plain` take next to no time.
        """
        self._keys.digests.forget()
        name = called.name
        if self._run_journal is None or (len(calls) > 1 and self._is_costly(name) and not are_plain()):
            return [""] * len(calls), ()
        try:
            of_function = self._function_digest(called)
            digests = self._call_digests(of_function, calls[:1], name)  # takes longer than others
            for some in (calls[1:2], calls[2:]):
                began = time.thread_time()  # not of the wall: the threads of a driver compete
                digests += self._call_digests(of_function, some, name)
                if some:
                    self._run_journal.key_seconds[name] = (time.thread_time() - began) / len(some)
                if len(digests) == 2 and self._is_costly(name) and not are_plain():
                    return [""] * len(calls), ()
        except Exception as error:  # an object that cannot be pickled at all is an error of packing
            _warn_without_key(name, error)
            return [""] * len(calls), ()
        classes = {kind for one in (of_function, *digests) for kind in one.classes}
        self._run_journal.note_classes(classes)
        return self._run_journal.number_keys([one.digest for one in digests]), classes

    def _function_digest(self, called: Called) -> ObjectDigest:
        """Return the digest of a function, and of its preparation; made once for a function that is stable."""
        function = called.function
        known = self._function_digests.get(id(function))
        if known is not None:
            digest = known[1]
        else:
            digest = self._keys.object_digest(function if self.prepared is None else (self.prepared, function))
        if called.is_stable:
            self._function_digests[id(function)] = (function, digest)
        return digest

    def _call_digests(self, of_function: ObjectDigest, calls: Sequence[Item], name: str) -> list[ObjectDigest]:
        """Return the digests of calls, without those arguments that do not affect results."""
        ignored = IGNORED_ARGUMENTS.get(name)
        if ignored is None:
            return [self._keys.call_digest(of_function, args, kwargs) for _, args, kwargs in calls]
        kept = [{key: kwargs[key] for key in kwargs if key not in ignored} for _, _, kwargs in calls]
        pairs = zip(calls, kept, strict=True)
        return [self._keys.call_digest(of_function, args, named) for (_, args, _), named in pairs]

    def _is_costly(self, name: str) -> bool:
        """Return whether a key takes too much of the time of short calls; now and then one is measured again.

        No key is too costly while there are results of earlier sessions: their calls had keys.
        """
        if self._run_journal is None or self._run_journal.reusable or self.seconds is None:
            return False
        seconds = self._run_journal.key_seconds.get(name, FIRST_KEY_SECONDS)
        if seconds < MAX_KEY_SHARE * self.seconds:
            return False
        self._run_journal.key_seconds[name] = seconds * 0.9
        return True


def _warn_without_key(name: str, error: Exception) -> None:
    if name not in _warned:
        _warned.add(name)
        log.warning(_NO_KEY, name, error)


def is_uniform(calls: Sequence[Item]) -> bool:
    """Return whether all calls are of one function."""
    return all(call[0] is calls[0][0] for call in calls)
