"""Keys of calls: a digest of function, arguments and data, equal in every process.

A call is pickled for its digest alone (`hpcml.journal.object_digests`), each of its objects in full wherever it
occurs, and sets in order. Tasks can distinguish two equal mutable objects from one that occurs twice, so this is
part of the digest. Strings, numbers and other immutable objects are digested by their content only.

- An object that is sent by its name is digested as this name, with the version of its library, or with the digests
  of the file of the user's module and of those that it imports.
- A function, class or module of the script, or without a name, is digested as its code, defaults, captured
  variables and globals.

joblib.hash would digest a function by its name alone, and dask's tokenize by what cloudpickle writes.
"""

import marshal
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any

import cloudpickle

from hpcml.data.arrays import numbers
from hpcml.data.deap import attributes_of_new_list
from hpcml.data.digests import ContentDigests, digest
from hpcml.journal.object_digests import ATOMS, ObjectDigest, are_atoms, digest_in_order, digest_quickly
from hpcml.journal.reductions import nothing

__all__ = ["CallKeys", "IGNORED_ARGUMENTS", "content_key"]  # noqa: RUF022  plain order

IGNORED_ARGUMENTS = {
    "sklearn.model_selection._validation._fit_and_score": {
        "callback_ctx",
        "caller",
        "candidate_progress",
        "split_progress",
        "verbose",
    }
}
"""Keyword arguments that no result depends on, by the function.

With these in its key, a fit would run again in a larger grid, or with other n_jobs: the caller is the search,
which is there for its callbacks; the others serve for the prints only.
"""

MAX_SORTED_ELEMENTS = 20_000  # of sets within sets within sets, before their order is given up
MAX_SET_DEPTH = 3  # sets within sets whose elements are compared to put the outermost set in order


class CallKeys:
    """Digests of calls, for the length of one call of ``map`` or Parallel.

    Parameters
    ----------
    digests
        Digests of the arrays that the calls send; see `hpcml.data.call_data.CallData`, which needs them too.

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
        self.table = dict(cloudpickle.Pickler.dispatch_table)  # a copy: that one is a slow ChainMap
        self.named: dict[int, tuple[Any, str]] = {id(nothing): (nothing, "")}  # see `KeyPickler`, by id
        self._made_classes: dict[int, tuple[Any, str]] = {}  # digests of DEAP's classes, by id
        self._sorted_elements = 0

    def digest(self, thing: object) -> str:
        """Return the digest of any object that can be pickled, as it is now."""
        self.digests.forget()
        return self.object_digest(thing).digest

    def call_digest(self, function: ObjectDigest, args: Sequence[Any], kwargs: Mapping[str, Any]) -> ObjectDigest:
        """Return the digest of a call, with the mutable objects and the classes in its arguments."""
        if not kwargs and are_atoms(args):
            return ObjectDigest(digest(function.digest.encode() + marshal.dumps(tuple(args), 2)))
        if not kwargs and len(args) == 1 and (of_individual := self._individual_digest(function, args[0])):
            return ObjectDigest(of_individual)
        found = self.object_digest((tuple(args), kwargs) if kwargs else [*args])
        both = function.places.keys() & found.places.keys()
        shared = sorted((function.places[one][0], found.places[one][0]) for one in both)
        whole = digest(f"{function.digest} {found.digest} {shared}".encode())
        return ObjectDigest(whole, found.places, found.classes)

    def _individual_digest(self, function: ObjectDigest, thing: Any) -> str:
        """Return the digest of a call with a new individual of numbers, in a tenth of the time; else ""."""
        parts = attributes_of_new_list(thing)
        if parts is None or not function.places.keys().isdisjoint(map(id, (thing, *parts))):
            return ""
        genome, names = _genome(thing)
        about = f"{function.digest} {self.made_class(type(thing))} {names}"
        return "" if genome is None else digest(about.encode(), genome)

    def made_class(self, kind: Any) -> str:
        """Return the digest of a class of DEAP's creator."""
        known = self._made_classes.get(id(kind))
        if known is None:
            self._made_classes[id(kind)] = kind, kind.__name__  # its methods may refer to it
            known = self._made_classes[id(kind)] = kind, self.object_digest(kind.reduce_args).digest
        return known[1]

    def object_digest(self, thing: object) -> ObjectDigest:
        """Return the digest of an object that can be pickled, with its mutable objects and classes."""
        self._sorted_elements = 0
        try:
            found = digest_quickly(thing, self)
        except (ValueError, RecursionError):
            found = None
        return found or digest_in_order(thing, self)

    def in_order(self, elements: Iterable[Any], depth: int = 0) -> list[Any]:
        """Return the elements of a set in an order that is the same in every process.

        Raises
        ------
        ValueError
            There are sets whose elements refer to each other in too many ways.
        """
        found = list(elements)
        if are_atoms(found):
            return sorted(found, key=lambda one: (type(one).__name__, marshal.dumps(one, 2)))
        if depth >= MAX_SET_DEPTH:
            # The number is enough to order the outer sets; the elements are digested where their set is.
            return [len(found)]
        if depth:
            self._sorted_elements += len(found)
        if self._sorted_elements > MAX_SORTED_ELEMENTS:
            raise ValueError("its sets refer to each other too often to be put in order")
        return sorted(found, key=lambda one: digest_in_order(one, self, depth + 1).digest)

    def make_reference(self, nbytes: int, key: Hashable, owner: Any, produce: Callable[[], memoryview]) -> str:
        """Return the digest of an array's content; see `hpcml.data.arrays.MakeReference`."""
        return self.digests.of(nbytes, key, owner, produce)


def _genome(individual: list[Any]) -> tuple[Any, list[str]]:
    """Return the content of a list of numbers, None for another list, and the names of the types in the list."""
    kinds = set(map(type, individual))
    names = sorted(kind.__name__ for kind in kinds)
    if ATOMS.issuperset(kinds):
        return marshal.dumps(list(individual), 2), names
    return numbers(kinds.pop(), individual) if len(kinds) == 1 else None, names


def content_key(thing: object) -> str:
    """Return the digest of an object; "" where it has none: the error is raised when the object is packed."""
    try:
        return CallKeys().digest(thing)
    except Exception:
        return ""
