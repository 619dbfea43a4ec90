"""Digests of objects, equal in every process; see `hpcml.journal.call_keys`.

An object is pickled for its digest alone. The quick way lists all objects in it, each time that one occurs, and
compares them afterwards. The ordered way looks at each object first: it puts sets in order, and writes an object
that occurs again as a number. It takes twice as long, so it is used only where the quick way fails: for an object
with sets, which have no order of their own, and for objects that contain themselves or share many others.
"""

import io
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from hpcml.data.digests import digest
from hpcml.journal.key_pickler import KeyPickler
from hpcml.journal.kinds import IMMUTABLE

if TYPE_CHECKING:
    from hpcml.journal.call_keys import CallKeys

__all__ = ["ATOMS", "ObjectDigest", "are_atoms", "digest_in_order", "digest_quickly"]

ATOMS = frozenset((int, float, str, bytes, bool, complex, type(None)))
"""Types whose objects hold no others."""

# A pickle that is longer, without a memo, may be a few objects that share each other: these expand exponentially.
MAX_UNSHARED_BYTES = 1 << 24


class ObjectDigest(NamedTuple):
    """Digest of an object.

    Parameters
    ----------
    digest
        Digest of all parts of the object.
    places
        Its mutable objects by their ``id``: the place where each occurs first, and the object, so that it lives as
        long as its ``id`` is used.
    classes
        Classes that are sent by value.
    """

    digest: str
    places: Mapping[int, tuple[int, object]] = {}
    classes: tuple[type, ...] = ()


class _TooLong(ValueError):
    """An object is longer than it can be without objects that share each other."""


def are_atoms(things: Iterable[object]) -> bool:
    """Return whether no object is of a type whose objects hold others."""
    return ATOMS.issuperset(map(type, things))


class _Stream(io.BytesIO):
    """Stream of a pickle without a memo; `seen` lists the objects in it, each time that they occur."""

    def __init__(self, seen: list[object]) -> None:
        super().__init__()
        self._seen = seen
        self._limit = MAX_UNSHARED_BYTES

    def write(self, data: Any) -> int:
        """Write one piece of the pickle; raise _TooLong above the limit, if objects occur several times."""
        if self.tell() > self._limit:
            several = [id(thing) for thing in self._seen if type(thing) not in ATOMS]
            if len(set(several)) < len(several):
                raise _TooLong("objects share each other")
            self._limit *= 4
        return super().write(data)


def digest_quickly(thing: object, keys: "CallKeys") -> ObjectDigest | None:
    """Return the digest of an object; None where there are sets in it.

    Raises
    ------
    ValueError, RecursionError
        The object contains itself, or many objects that share each other.
    """
    seen: list[object] = []
    stream = _Stream(seen)
    pickler = KeyPickler(stream, keys)
    # `append` returns None: each object is noted, and pickled as ever.
    pickler.persistent_id = seen.append  # type: ignore[method-assign]
    pickler.dump(thing)
    kinds = set(map(type, seen))
    if set in kinds or frozenset in kinds:
        return None
    places: dict[int, tuple[int, object]] = {}
    shared = []
    for place, one in enumerate(seen) if not kinds <= IMMUTABLE else ():
        if type(one) not in IMMUTABLE:
            first = places.setdefault(id(one), (place, one))[0]
            if first != place:
                shared.append((first, place))
    about = f"{shared} {sorted(pickler.used)}".encode()
    return ObjectDigest(digest(stream.getbuffer(), about), places, tuple(pickler.classes))


class _OrderedPickler(KeyPickler):
    """Pickler that writes a mutable object once, then its number, and puts sets in order.

    Parameters
    ----------
    depth
        Number of sets that the object is in.
    """

    def __init__(self, stream: io.BytesIO, keys: "CallKeys", depth: int) -> None:
        super().__init__(stream, keys)
        self._depth = depth
        self.places: dict[int, tuple[int, object]] = {}

    def persistent_id(self, thing: Any) -> Any:
        """Return a number or ordered elements in place of an object; see `pickle.Pickler.persistent_id`."""
        kind = type(thing)
        if kind in ATOMS:
            return None
        if kind is frozenset:
            return kind.__name__, self.in_order(thing)
        if kind in IMMUTABLE and kind is not tuple:
            return None
        known = self.places.get(id(thing))
        if known is not None:
            return None if kind is tuple and not thing else ("again", known[0])
        if kind is not tuple or not are_atoms(thing):
            self.places[id(thing)] = len(self.places), thing
        return (kind.__name__, self.in_order(thing)) if kind is set else None

    def in_order(self, elements: Iterable[Any]) -> list[Any]:
        """Return the elements of a set in an order that is the same in every process."""
        return self.keys.in_order(elements, self._depth)


def digest_in_order(thing: object, keys: "CallKeys", depth: int = 0) -> ObjectDigest:
    """Return the digest of an object that may hold sets, and is in `depth` sets itself."""
    stream = io.BytesIO()
    pickler = _OrderedPickler(stream, keys, depth)
    pickler.dump(thing)
    about = f"in order {sorted(pickler.used)}".encode()
    return ObjectDigest(digest(stream.getbuffer(), about), pickler.places, tuple(pickler.classes))
