"""Functions and properties of the script that functools has decorated: their pickles by value.

Their own pickles are names, which workers do not have, or fail at a lock or weak references. On a worker, a cache
is empty at first. A function that calls itself by its global name gets the rebuilt one: the pickle holds the inner
function before its globals.

Recorded results hold the names of this module and of `_cached`, `_dispatching`, `_property` and `_method`.
"""

import functools
from collections.abc import Callable
from types import FunctionType, MappingProxyType
from typing import Any

from hpcml.data.definitions import is_found_by_name

__all__ = ["reduce_decorated"]

_Reduced = tuple[Any, ...]


def reduce_decorated(thing: Any) -> _Reduced | None:
    """Return the reduction of a decorated function or a cached property; None for any other object.

    Examples
    --------
    >>> import functools, pickle
    >>> from hpcml.data.decorated import reduce_decorated
    >>> rebuild, parts = reduce_decorated(functools.lru_cache(maxsize=7)(lambda n: n + 1))
    >>> rebuilt = rebuild(*parts)
    >>> rebuilt(3), rebuilt.cache_parameters()["maxsize"]
    (4, 7)
    """
    reduce = _REDUCERS.get(type(thing))
    return None if reduce is None else reduce(thing)


def _is_sent_by_name(thing: Any) -> bool:
    """Return whether workers find a decorated function by its name: not in the script, their ``__main__``."""
    return thing.__module__ != "__main__" and is_found_by_name(thing)


def _reduce_cached(thing: Any) -> _Reduced | None:
    if _is_sent_by_name(thing):
        return None
    parameters = thing.cache_parameters()
    return _cached, (thing.__wrapped__, parameters["maxsize"], parameters["typed"])


def _cached(function: Callable[..., Any], maxsize: int | None, typed: bool) -> Any:
    return functools.lru_cache(maxsize, typed)(function)


def _reduce_dispatching(thing: Any) -> _Reduced | None:
    registry = vars(thing).get("registry")
    if type(registry) is not MappingProxyType or not hasattr(thing, "_clear_cache") or _is_sent_by_name(thing):
        return None
    kinds = tuple((kind, function) for kind, function in registry.items() if kind is not object)
    return _dispatching, (registry[object], kinds)


def _dispatching(function: Callable[..., Any], kinds: tuple[tuple[Any, Callable[..., Any]], ...]) -> Any:
    dispatcher = functools.singledispatch(function)
    for kind, implementation in kinds:
        dispatcher.register(kind, implementation)
    return dispatcher


def _reduce_property(thing: Any) -> _Reduced | None:
    return _property, (thing.func, thing.attrname)


def _property(function: Callable[[Any], Any], name: str | None) -> Any:
    found: Any = functools.cached_property(function)
    if name is not None:
        found.__set_name__(None, name)
    return found


def _reduce_method(thing: Any) -> _Reduced | None:
    return _method, (thing.func, thing.dispatcher)


def _method(function: Any, dispatcher: Any) -> Any:
    found: Any = functools.singledispatchmethod(function)  # from Python 3.13 on with a cache of weak references
    found.dispatcher = dispatcher
    return found


_REDUCERS: dict[type, Callable[[Any], _Reduced | None]] = {
    functools._lru_cache_wrapper: _reduce_cached,
    FunctionType: _reduce_dispatching,
    functools.cached_property: _reduce_property,
    functools.singledispatchmethod: _reduce_method,
}
