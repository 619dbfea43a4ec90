"""Pickler of the content of a call, for the call's key; see `hpcml.journal.call_keys`."""

import pickle
from collections.abc import Callable
from typing import Any, Protocol

from hpcml.data.code_versions import module_digest
from hpcml.data.definitions import (
    class_parts,
    function_parts,
    is_importable,
    is_named,
    module_name_of,
    module_parts,
    own_reduction,
)
from hpcml.journal.reductions import Reduction, find_reduction, nothing

__all__ = ["KeyPickler"]

_reductions: dict[type, Reduction] = {}
"""Reduction of each type that was seen; each is looked up once."""


class _Keys(Protocol):
    """Source of digests; see `hpcml.journal.call_keys.CallKeys`."""

    digests: Any
    table: dict[type, Any]
    named: dict[int, tuple[Any, str]]

    def made_class(self, kind: Any) -> str:
        """Return the digest of a class of DEAP's creator."""

    def in_order(self, elements: Any, depth: int = 0) -> list[Any]:
        """Return the elements of a set in order."""

    def make_reference(self, nbytes: int, key: Any, owner: Any, produce: Callable[[], memoryview]) -> str:
        """Return the digest of an array's content."""


class KeyPickler(pickle.Pickler):
    """Pickler whose output is only digested, and never loaded.

    ``used`` are the versions of libraries and the digests of modules that the object depends on, ``classes`` those
    that are sent by value.
    """

    def __init__(self, stream: Any, keys: _Keys) -> None:
        super().__init__(stream, 5)
        self.fast = True  # no memo: equal strings are written alike, whether or not they are one object
        self.dispatch_table = keys.table
        self.keys = keys
        self._named = keys.named
        self.used: set[str] = set()
        self.classes: list[type] = []
        # Numbers of functions, classes and modules, by their id: they may refer to each other.
        self._numbers: dict[int, tuple[int, Any]] = {}

    def reducer_override(self, thing: Any) -> Any:
        """Return the reduction of `thing`; see `pickle.Pickler.reducer_override`."""
        named = self._named.get(id(thing))
        if named is not None:
            self.used.add(named[1])
            return NotImplemented
        kind = type(thing)
        reduction = _reductions.get(kind)
        if reduction is None:
            reduction = _reductions[kind] = find_reduction(kind, self.keys.table)
        return reduction(self, thing)

    def reduce_by_class(self, thing: Any) -> Any:
        """Return the reduction that a class defines for its objects; of a global name, that and its module."""
        reduced = own_reduction(thing, self.keys.table)
        if not isinstance(reduced, str):
            return NotImplemented if reduced is None else reduced
        module = module_name_of(thing, reduced)
        self._use(module)
        self._use(type(thing).__module__)
        return nothing, (module, reduced)

    def _use(self, module: str) -> str:
        """Note that the object depends on a module."""
        version = f"{module} {module_digest(module)}"
        self.used.add(version)
        return version

    def reduce_definition(self, thing: Any) -> Any:
        """Return the reduction of a function or class: its name, or all parts of its definition."""
        name = f"{thing.__module__}.{thing.__qualname__}"
        if is_named(thing):
            self._named[id(thing)] = thing, self._use(thing.__module__)
            return NotImplemented
        if thing.__module__ == "builtins":  # some of these have no name there
            return nothing, (name,)
        if isinstance(thing, type):
            return self._reduce_once(thing, name, class_parts)
        return self._reduce_once(thing, name, function_parts)

    def reduce_module(self, thing: Any) -> Any:
        """Return the reduction of a module: its name, or all that is in it."""
        if is_importable(thing):
            self._use(thing.__name__)
            return nothing, (thing.__name__,)
        return self._reduce_once(thing, thing.__name__, module_parts)

    def _reduce_once(self, thing: Any, name: str, parts: Callable[[Any], Any]) -> Any:
        """Return the name and the parts of an object the first time, then its name and number."""
        known = self._numbers.get(id(thing))
        if known is not None:
            return nothing, (name, known[0])
        self._numbers[id(thing)] = len(self._numbers), thing
        if isinstance(thing, type):
            self.classes.append(thing)
        return nothing, (name, *parts(thing))

    def in_order(self, elements: Any) -> Any:
        """Return the elements of a set in an order that is the same in every process."""
        return self.keys.in_order(elements)
