"""Reductions: the content that stands for each kind of object in a key; see `hpcml.journal.call_keys`.

A reduction takes the pickler and an object, and returns as `pickle.Pickler.reducer_override` does. Nothing is ever
loaded: `nothing` stands where a reduction would name the function that builds the object.
"""

import functools
import random
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hpcml.data.arrays import Array, reduce_array
from hpcml.data.broadcast import Broadcast, digests_of
from hpcml.data.deap import made_classes, reduce_individual
from hpcml.data.definitions import code_parts, is_named
from hpcml.data.digests import digest
from hpcml.data.map_modes import refuse_file_map
from hpcml.data.random_state import reduce_generator
from hpcml.data.tensors import is_tensor, tensor_parts
from hpcml.journal.kinds import IGNORED_ATTRIBUTES, KEY_IGNORES, note_immutable

if TYPE_CHECKING:
    from hpcml.journal.key_pickler import KeyPickler

__all__ = ["Reduction", "find_reduction", "nothing"]

Reduction = Callable[["KeyPickler", Any], Any]

SMALL_ARRAY_BYTES = 1 << 16  # smaller ones are digested each time: no other part of a call needs their digest
_PLAIN_KINDS = frozenset("biufc")  # of dtypes whose name says all


def nothing(*_: Any) -> None:
    """Stand in keys for the function that would build an object; never called.

    The keys in a journal hold the name of this function.
    """


def _array(pickler: "KeyPickler", thing: Any) -> Any:
    """Return the digest of an array's content, and its layout."""
    dtype = refuse_file_map(thing).dtype
    plain = dtype.kind in _PLAIN_KINDS
    if plain and type(thing) is Array and thing.nbytes < SMALL_ARRAY_BYTES and thing.flags.c_contiguous:
        return nothing, (digest(thing), dtype.str, thing.shape)
    reduced = reduce_array(thing, pickler.keys.make_reference)
    if reduced is None:
        return pickler.reduce_by_class(thing)
    if len(reduced[1]) == 3:  # a masked array, of two others
        return reduced
    content, _, shape, axes, kind = reduced[1]
    more = () if axes is None and kind is None else (axes, kind)
    return nothing, (content, dtype.str if plain else dtype, shape, *more)


def _individual(pickler: "KeyPickler", thing: Any) -> Any:
    """Return the content of an individual of DEAP's, or of its class."""
    reduced = reduce_individual(thing)
    if reduced is None:
        of_base = (reduction for base, reduction in _OF_BASES if isinstance(thing, base))
        return next(of_base, _by_class)(pickler, thing)
    if not isinstance(thing, type):
        return nothing, reduced[1]
    return nothing, (thing.__name__, pickler.keys.made_class(thing))


def _set(pickler: "KeyPickler", thing: Any) -> Any:
    """Return the content of an object of a subclass of set or frozenset, in order."""
    base = set if isinstance(thing, set) else frozenset
    kind: Any = type(thing)
    if kind.__reduce__ is not base.__reduce__ or kind.__reduce_ex__ is not object.__reduce_ex__:
        return pickler.reduce_by_class(thing)
    _, _, state = thing.__reduce__()
    return nothing, (kind, pickler.in_order(thing), state)


def _tensor(pickler: "KeyPickler", thing: Any) -> Any:
    """Return the content of a tensor of torch."""
    return nothing, (type(thing), *tensor_parts(thing, digest))


def _broadcast(pickler: "KeyPickler", handle: Broadcast) -> Any:
    """Return the digest of broadcast data, or the digests of its parts."""
    return nothing, digests_of(handle)


def _without_ignored(pickler: "KeyPickler", thing: Any) -> Any:
    """Return an object without the attributes that say nothing of results."""
    name = (type(thing).__module__, type(thing).__qualname__)
    ignored = vars(type(thing)).get(KEY_IGNORES) or IGNORED_ATTRIBUTES[name]
    kept = {} if ignored is None else {key: vars(thing)[key] for key in vars(thing) if key not in ignored}
    return nothing, (name, kept)


def _generator(pickler: "KeyPickler", thing: Any) -> Any:
    reduced = reduce_generator(thing)
    return pickler.reduce_by_class(thing) if reduced is None else reduced


def _cached_function(pickler: "KeyPickler", thing: Any) -> Any:
    if is_named(thing):
        return pickler.reduce_by_class(thing)
    return nothing, ("lru_cache", thing.__wrapped__)


def _text(pickler: "KeyPickler", thing: Any) -> Any:
    return nothing, (repr(thing),)


def _code(pickler: "KeyPickler", thing: Any) -> Any:
    return nothing, code_parts(thing)


def _cell(pickler: "KeyPickler", thing: Any) -> Any:
    return nothing, (() if thing == types.CellType() else (thing.cell_contents,))


def _class(pickler: "KeyPickler", thing: Any) -> Any:
    if type(thing).__qualname__ == "MetaCreator" and reduce_individual(thing) is not None:
        return _individual(pickler, thing)
    return pickler.reduce_definition(thing)


def _function(pickler: "KeyPickler", thing: Any) -> Any:
    return pickler.reduce_definition(thing)


def _module(pickler: "KeyPickler", thing: Any) -> Any:
    reduced = pickler.reduce_module(thing)
    if thing.__name__ == "deap.creator" and reduce_individual(thing) is not None:
        made = {kind.__name__: pickler.keys.made_class(kind) for kind in made_classes(thing)}
        return nothing, (thing.__name__, made)
    return reduced


def _by_class(pickler: "KeyPickler", thing: Any) -> Any:
    return pickler.reduce_by_class(thing)


def _by_attributes(pickler: "KeyPickler", thing: Any) -> Any:
    """Leave an object to pickle, which takes its ``__dict__`` alone."""
    return NotImplemented


_OF_TYPES: dict[Any, Reduction] = {
    types.FunctionType: _function,
    types.ModuleType: _module,
    types.CodeType: _code,
    types.CellType: _cell,
    functools._lru_cache_wrapper: _cached_function,
    Broadcast: _broadcast,
}

_OF_BASES: tuple[tuple[Any, Reduction], ...] = (
    (Array, _array),
    (type, _class),
    (set | frozenset, _set),
    (random.Random, _generator),
)


def find_reduction(kind: Any, table: dict[type, Any]) -> Reduction:
    """Return the reduction of the objects of a type.

    Parameters
    ----------
    table
        Reductions that some types have already; see `pickle.Pickler.dispatch_table`.
    """
    known = _OF_TYPES.get(kind)
    if known is None:
        note_immutable(kind)
        of_bases = (reduction for base, reduction in _OF_BASES if issubclass(kind, base))
        known = _of_name(kind) or next(of_bases, None)
    if known is not None:
        return known
    if is_tensor(kind):
        return _tensor
    plain = kind.__reduce_ex__ is object.__reduce_ex__ and kind.__reduce__ is object.__reduce__
    return _by_attributes if plain and kind not in table else _by_class


def _of_name(kind: Any) -> Reduction | None:
    """Return the reduction for types that are recognised by their module or name."""
    if kind.__module__ == "numpy.dtypes":
        return _text
    if KEY_IGNORES in vars(kind) or (kind.__module__, kind.__qualname__) in IGNORED_ATTRIBUTES:
        return _without_ignored
    if kind.__module__ == "deap.creator" and not issubclass(kind, type):
        return _individual
    return None
