"""Reductions: the content that stands for each kind of object in a key; see `hpcml.journal.call_keys`."""

import functools
import pickle
import random
import types
from collections.abc import Callable
from typing import Any, Protocol

from hpcml.data.arrays import Array, reduce_array
from hpcml.data.broadcast import Broadcast
from hpcml.data.code_versions import module_digest
from hpcml.data.deap import reduce_individual
from hpcml.data.definitions import (
    class_parts,
    code_parts,
    function_parts,
    home_of,
    is_importable,
    is_named,
    module_parts,
    own_reduction,
)
from hpcml.data.digests import digest
from hpcml.data.map_modes import refuse_file_map
from hpcml.data.random_state import reduce_generator
from hpcml.data.staging.store import DataReference
from hpcml.data.tensors import is_tensor, tensor_parts
from hpcml.journal.kinds import IGNORED, note_immutable

__all__ = ["Reducing", "nothing"]

SMALL = 1 << 16  # bytes; nothing else needs the digest of less
_KINDS = frozenset("biufc")  # of dtypes whose name says all


class _Asked(Protocol):
    """Source of digests; see `hpcml.journal.call_keys.CallKeys`."""

    digests: Any
    table: dict[type, Any]
    named: dict[int, tuple[Any, str]]

    def made_class(self, kind: Any) -> str:
        """Return the digest of a class of DEAP's creator."""

    def in_order(self, elements: Any, depth: int = 0) -> list[Any]:
        """Return the elements of a set in order."""

    def lend(self, nbytes: int, key: Any, owner: Any, produce: Callable[[], memoryview]) -> str:
        """Return the digest of an array's content."""


def nothing(*_: Any) -> None:
    """Stand at the head of what is digested, and never called."""


class Reducing(pickle.Pickler):
    """Writes the content of an object, for a digest; the pickle is never loaded.

    ``used`` are the versions of libraries and the digests of modules that were met, ``classes`` those that are
    sent by value.
    """

    def __init__(self, stream: Any, keys: _Asked) -> None:
        super().__init__(stream, 5)
        self.fast = True  # no memo: a string is the same wherever it comes from
        self.dispatch_table = keys.table
        self.keys = keys
        self._named = keys.named
        self.used: set[str] = set()
        self.classes: list[type] = []
        # Functions, classes and modules that were met, by their id: they may refer to each other.
        self._met: dict[int, tuple[int, Any]] = {}

    def reducer_override(self, thing: Any) -> Any:
        """Return what stands for `thing`; see `pickle.Pickler.reducer_override`."""
        named = self._named.get(id(thing))
        if named is not None:
            self.used.add(named[1])
            return NotImplemented
        kind = type(thing)
        how = _hows.get(kind)
        if how is None:
            how = _hows[kind] = _how(kind, self.keys.table)
        return how(self, thing)

    def as_it_is(self, thing: Any) -> Any:
        """Return what leaves an object to pickle, which asks for its ``__dict__`` alone."""
        return NotImplemented

    def as_it_says(self, thing: Any) -> Any:
        """Return what an object with a reduction of its own is made of; of a global name, that and its module."""
        reduced = own_reduction(thing, self.keys.table)
        if not isinstance(reduced, str):
            return NotImplemented if reduced is None else reduced
        home = home_of(thing, reduced)
        self._use(home)
        self._use(type(thing).__module__)
        return nothing, (home, reduced)

    def _use(self, module: str) -> str:
        said = f"{module} {module_digest(module)}"
        self.used.add(said)
        return said

    def definition(self, thing: Any) -> Any:
        """Return what stands for a function or class: a name, or all that it is."""
        name = f"{thing.__module__}.{thing.__qualname__}"
        if is_named(thing):
            self._named[id(thing)] = thing, self._use(thing.__module__)
            return NotImplemented
        if thing.__module__ == "builtins":  # some of these have no name there
            return nothing, (name,)
        if isinstance(thing, type):
            return self._once(thing, name, class_parts)
        return self._once(thing, name, function_parts)

    def module(self, thing: Any) -> Any:
        """Return what stands for a module: a name, or all that is in it."""
        if is_importable(thing):
            self._use(thing.__name__)
            return nothing, (thing.__name__,)
        return self._once(thing, thing.__name__, module_parts)

    def _once(self, thing: Any, name: str, parts: Callable[[Any], Any]) -> Any:
        met = self._met.get(id(thing))
        if met is not None:
            return nothing, (name, met[0])
        self._met[id(thing)] = len(self._met), thing
        if isinstance(thing, type):
            self.classes.append(thing)
        return nothing, (name, *parts(thing))

    def array(self, thing: Any) -> Any:
        """Return what stands for an array: its content's digest, and how that is laid out."""
        dtype = refuse_file_map(thing).dtype
        plain = dtype.kind in _KINDS
        if plain and type(thing) is Array and thing.nbytes < SMALL and thing.flags.c_contiguous:
            return nothing, (digest(thing), dtype.str, thing.shape)
        reduced = reduce_array(thing, self.keys.lend)
        if reduced is None:
            return self.as_it_says(thing)
        if len(reduced[1]) == 3:  # a masked array, of two others
            return reduced
        content, _, shape, axes, kind = reduced[1]
        more = () if axes is None and kind is None else (axes, kind)
        return nothing, (content, dtype.str if plain else dtype, shape, *more)

    def individual(self, thing: Any) -> Any:
        """Return what stands for an individual of DEAP's, or for its class."""
        reduced = reduce_individual(thing)
        if reduced is None:
            hows = (how for base, how in _families if isinstance(thing, base))
            return next(hows, Reducing.as_it_says)(self, thing)
        if not isinstance(thing, type):
            return nothing, reduced[1]
        return nothing, (thing.__name__, self.keys.made_class(thing))

    def unordered(self, thing: Any) -> Any:
        """Return what stands for an object of a subclass of set or frozenset."""
        base = set if isinstance(thing, set) else frozenset
        kind: Any = type(thing)
        if kind.__reduce__ is not base.__reduce__ or kind.__reduce_ex__ is not object.__reduce_ex__:
            return self.as_it_says(thing)
        _, _, state = thing.__reduce__()
        return nothing, (kind, self.in_order(thing), state)

    def in_order(self, elements: Any) -> Any:
        """Return the elements of a set in an order that is the same in every process."""
        return self.keys.in_order(elements)

    def tensor(self, thing: Any) -> Any:
        """Return what stands for a tensor of torch."""
        return nothing, (type(thing), *tensor_parts(thing, digest))


def _lent(pickler: Reducing, handle: Broadcast) -> Any:
    """Return what stands for data that was put on the nodes: its digest, or those of its parts."""
    if handle._parts is None:
        raise TypeError("the broadcast handle is closed")
    if handle._digest:
        return nothing, (handle._digest,)
    where, holes, buffers = handle._parts
    stream = where.entry.name if isinstance(where, DataReference) else where
    loans = [loan.entry.name for loan in (*(loan for _, loan in holes), *buffers)]
    return nothing, (stream, [offset for offset, _ in holes], loans)


def _partly(pickler: Reducing, thing: Any) -> Any:
    """Return what stands for an object some of whose attributes say nothing of results."""
    name = (type(thing).__module__, type(thing).__qualname__)
    ignored = IGNORED[name]
    kept = {} if ignored is None else {key: vars(thing)[key] for key in vars(thing) if key not in ignored}
    return nothing, (name, kept)


def _generator(pickler: Reducing, thing: Any) -> Any:
    reduced = reduce_generator(thing)
    return pickler.as_it_says(thing) if reduced is None else reduced


def _cache(pickler: Reducing, thing: Any) -> Any:
    if is_named(thing):
        return pickler.as_it_says(thing)
    return nothing, ("lru_cache", thing.__wrapped__)


def _as_text(pickler: Reducing, thing: Any) -> Any:
    return nothing, (repr(thing),)


def _code(pickler: Reducing, thing: Any) -> Any:
    return nothing, code_parts(thing)


def _cell(pickler: Reducing, thing: Any) -> Any:
    return nothing, (() if thing == types.CellType() else (thing.cell_contents,))


def _class(pickler: Reducing, thing: Any) -> Any:
    if type(thing).__qualname__ == "MetaCreator" and reduce_individual(thing) is not None:
        return pickler.individual(thing)
    return pickler.definition(thing)


_How = Callable[[Reducing, Any], Any]
_hows: dict[type, _How] = {
    types.FunctionType: Reducing.definition,
    types.ModuleType: Reducing.module,
    types.CodeType: _code,
    types.CellType: _cell,
    functools._lru_cache_wrapper: _cache,
    Broadcast: _lent,
}
"""Reduction of each type; a type is looked at once."""

_families: tuple[tuple[Any, _How], ...] = (
    (Array, Reducing.array),
    (type, _class),
    (set | frozenset, Reducing.unordered),
    (random.Random, _generator),
)


def _how(kind: Any, table: Any) -> _How:
    note_immutable(kind)
    if kind.__module__ == "numpy.dtypes":
        return _as_text
    if (kind.__module__, kind.__qualname__) in IGNORED:
        return _partly
    if kind.__module__ == "deap.creator" and not issubclass(kind, type):
        return Reducing.individual
    for base, how in _families:
        if issubclass(kind, base):
            return how
    if is_tensor(kind):
        return Reducing.tensor
    plain = kind.__reduce_ex__ is object.__reduce_ex__ and kind.__reduce__ is object.__reduce__
    return Reducing.as_it_is if plain and kind not in table else Reducing.as_it_says
