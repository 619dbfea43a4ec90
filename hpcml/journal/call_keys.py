"""Keys of calls: a digest of function, arguments and data, equal in every process.

A call is pickled for its digest alone, each of its objects in full wherever it occurs, and sets in order. Which of
its mutable objects are one and the same is part of the digest, for tasks can tell; of strings, numbers and the
like it is not. In place of

- what is sent as a name stands the name, with the version of its library, or the digest of the user's module's
  file and of those that it imports;
- a function, class or module of the script, or without a name, stand its code, defaults, captured variables and
  globals.
"""

import io
import marshal
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import cloudpickle

from hpcml.data.arrays import numbers
from hpcml.data.deap import parts_of_new
from hpcml.data.digests import ContentDigests, digest
from hpcml.journal.key_pickler import KeyPickler
from hpcml.journal.kinds import IMMUTABLE
from hpcml.journal.reductions import nothing

__all__ = ["CallKeys", "IGNORED_ARGUMENTS", "Written", "content_key"]  # noqa: RUF022  plain order

IGNORED_ARGUMENTS = {
    "sklearn.model_selection._validation._fit_and_score": {
        "callback_ctx",
        "caller",
        "candidate_progress",
        "split_progress",
        "verbose",
    }
}
"""Keyword arguments that say nothing of a result. With them, a fit would be another one in a larger grid, or for
other n_jobs: the caller is the search, which is there for its callbacks; the rest is for what is printed."""

MAX_UNSHARED_BYTES = 1 << 24  # bytes; what is longer may be a few objects that share each other
MAX_SORTED_ELEMENTS = 20_000  # elements of sets within sets within sets, before their order is given up

MAX_SET_DEPTH = 3  # sets within sets whose elements are looked at to put the outermost in order

_ATOMS = frozenset((int, float, str, bytes, bool, complex, type(None)))


class Written(NamedTuple):
    """Findings in an object.

    Parameters
    ----------
    digest
        Of all that it is made of.
    places
        Its mutable objects by their ``id``: where each occurs first, and the object, so that it lives as long.
    classes
        Those that are sent by value.
    """

    digest: str
    places: Mapping[int, tuple[int, Any]] = {}
    classes: tuple[type, ...] = ()


class _TooLong(ValueError):
    """An object is longer than it can be without objects that share each other."""


class _Stream(io.BytesIO):
    """Where what is digested goes; `seen` lists the objects, each time that they occur."""

    def __init__(self, seen: list[Any]) -> None:
        super().__init__()
        self._seen = seen
        self._most = MAX_UNSHARED_BYTES

    def write(self, data: Any) -> int:
        """Take one piece of the pickle."""
        if self.tell() > self._most:
            several = [id(thing) for thing in self._seen if type(thing) not in _ATOMS]
            if len(set(several)) < len(several):
                raise _TooLong("objects share each other")
            self._most *= 4
        return super().write(data)


class _Careful(KeyPickler):
    """Writes a mutable object once, later its number, and sets in order; each object is asked about."""

    def __init__(self, stream: Any, keys: "CallKeys", depth: int) -> None:
        super().__init__(stream, keys)
        self._depth = depth
        self.places: dict[int, tuple[int, Any]] = {}

    def persistent_id(self, thing: Any) -> Any:
        """Return what stands for an object that is not written as it is; see `pickle.Pickler.persistent_id`."""
        kind = type(thing)
        if kind in _ATOMS:
            return None
        if kind is frozenset:
            return kind.__name__, self.in_order(thing)
        if kind in IMMUTABLE and kind is not tuple:
            return None
        known = self.places.get(id(thing))
        if known is not None:
            return None if kind is tuple and not thing else ("again", known[0])
        if kind is not tuple or not _ATOMS.issuperset(map(type, thing)):
            self.places[id(thing)] = len(self.places), thing
        return (kind.__name__, self.in_order(thing)) if kind is set else None

    def in_order(self, elements: Iterable[Any]) -> list[Any]:
        """Return the elements of a set in an order that is the same in every process."""
        return self.keys.in_order(elements, self._depth)


class CallKeys:
    """Digests of calls, for the length of one call of ``map`` or Parallel.

    Parameters
    ----------
    digests
        Of the arrays that the calls send; see `hpcml.data.call_data.CallData`, which needs them too.

    Examples
    --------
    >>> from hpcml.journal.call_keys import CallKeys
    >>> CallKeys().digest(({"b", "a"}, lambda x: x + 1)) == CallKeys().digest(({"a", "b"}, lambda x: x + 1))
    True
    >>> CallKeys().digest(lambda x: x + 1) == CallKeys().digest(lambda x: x + 2)
    False
    >>> CallKeys().digest([[0]] * 2) == CallKeys().digest([[0], [0]])
    False
    """

    def __init__(self, digests: ContentDigests | None = None) -> None:
        self.digests = digests or ContentDigests()
        self.table = dict(cloudpickle.Pickler.dispatch_table)  # as it is now: that one is a slow ChainMap
        self.named: dict[int, tuple[Any, str]] = {id(nothing): (nothing, "")}  # see `KeyPickler`, by id
        self._made: dict[int, tuple[Any, str]] = {}  # digests of DEAP's classes, by id
        self._sorted = 0

    def digest(self, thing: Any) -> str:
        """Return the digest of any object that can be pickled, as it is now."""
        self.digests.forget()
        return self.write(thing).digest

    def call(self, function: Written, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Written:
        """Return what was found in the arguments of a call, with the digest of the whole call."""
        if not kwargs and _ATOMS.issuperset(map(type, args)):
            return Written(digest(function.digest.encode() + marshal.dumps(tuple(args), 2)))
        if not kwargs and len(args) == 1 and (of_new := self._of_new(function, args[0])):
            return Written(of_new)
        found = self.write((tuple(args), kwargs) if kwargs else [*args])
        both = function.places.keys() & found.places.keys()
        shared = sorted((function.places[one][0], found.places[one][0]) for one in both)
        whole = digest(f"{function.digest} {found.digest} {shared}".encode())
        return Written(whole, found.places, found.classes)

    def _of_new(self, function: Written, thing: Any) -> str:
        """Return the digest of a call with a new individual of numbers, in a tenth of the time; else ""."""
        parts = parts_of_new(thing)
        if parts is None or not function.places.keys().isdisjoint(map(id, (thing, *parts))):
            return ""
        genome, names = _genome(thing)
        about = f"{function.digest} {self.made_class(type(thing))} {names}"
        return "" if genome is None else digest(about.encode(), genome)

    def made_class(self, kind: Any) -> str:
        """Return the digest of a class of DEAP's creator."""
        known = self._made.get(id(kind))
        if known is None:
            known = self._made[id(kind)] = kind, self.write(kind.reduce_args).digest
        return known[1]

    def write(self, thing: Any) -> Written:
        """Return what is found in an object that can be pickled."""
        self._sorted = 0
        try:
            found = self._quickly(thing)
        except (ValueError, RecursionError):  # it contains itself, or many that share each other
            found = None
        return found or self._carefully(thing, 0)

    def _quickly(self, thing: Any) -> Written | None:
        """Return what is found in an object; None where there are sets, which have no order of their own."""
        seen: list[Any] = []
        stream = _Stream(seen)
        pickler = KeyPickler(stream, self)
        pickler.persistent_id = seen.append  # type: ignore[method-assign]  # it returns None, which is: no object is a special one
        pickler.dump(thing)
        kinds = set(map(type, seen))
        if set in kinds or frozenset in kinds:
            return None
        places: dict[int, tuple[int, Any]] = {}
        shared = []
        for place, one in enumerate(seen) if not kinds <= IMMUTABLE else ():
            if type(one) not in IMMUTABLE:
                first = places.setdefault(id(one), (place, one))[0]
                if first != place:
                    shared.append((first, place))
        about = f"{shared} {sorted(pickler.used)}".encode()
        return Written(digest(stream.getbuffer(), about), places, tuple(pickler.classes))

    def _carefully(self, thing: Any, depth: int) -> Written:
        stream = io.BytesIO()
        pickler = _Careful(stream, self, depth)
        pickler.dump(thing)
        about = f"in order {sorted(pickler.used)}".encode()
        return Written(digest(stream.getbuffer(), about), pickler.places, tuple(pickler.classes))

    def in_order(self, elements: Iterable[Any], depth: int = 0) -> list[Any]:
        """Return the elements of a set in an order that is the same in every process.

        Raises
        ------
        ValueError
            There are sets whose elements refer to each other in too many ways.
        """
        found = list(elements)
        if _ATOMS.issuperset(map(type, found)):
            return sorted(found, key=lambda one: (type(one).__name__, marshal.dumps(one, 2)))
        if depth >= MAX_SET_DEPTH:  # enough for an order: what is in the sets is written where they are
            return [len(found)]
        if depth:
            self._sorted += len(found)
        if self._sorted > MAX_SORTED_ELEMENTS:
            raise ValueError("its sets refer to each other too often to be put in order")
        return sorted(found, key=lambda one: self._carefully(one, depth + 1).digest)

    def make_reference(self, nbytes: int, key: Hashable, owner: Any, produce: Callable[[], memoryview]) -> str:
        """Return the digest of an array's content; see `hpcml.data.arrays.MakeReference`."""
        return self.digests.of(nbytes, key, owner, produce)


def _genome(individual: list[Any]) -> tuple[Any, list[str]]:
    """Return the content of a list of numbers, None for that of others, and the names of the types in it."""
    kinds = set(map(type, individual))
    names = sorted(kind.__name__ for kind in kinds)
    if _ATOMS.issuperset(kinds):
        return marshal.dumps(list(individual), 2), names
    return numbers(kinds.pop(), individual) if len(kinds) == 1 else None, names


def content_key(thing: Any) -> str:
    """Return the digest of an object, "" where it has none."""
    try:
        return CallKeys().digest(thing)
    except Exception:  # it is pickled next, which says what is wrong
        return ""
