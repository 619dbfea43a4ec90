"""Search for the part of an object that cannot be pickled, for the error message."""

import contextlib
import functools
import pickle
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterator, Mapping
from types import CodeType, FunctionType, MethodType
from typing import Any

import cloudpickle

from hpcml.data.out_of_band import reducers

__all__ = ["describe_unpicklable", "pickles", "text_of"]

_MAX_DEPTH = 8  # objects within one another that are searched
_SHOWN_CHARACTERS = 200  # of a user's text in a message
_SEQUENCES = (list, tuple, set, frozenset, deque)
# Reductions whose pickles hold attributes and items. Any other class with a __reduce__ of its own decides
# what its pickle holds, so that its parts cannot be searched.
_SEARCHED_REDUCTIONS: set[Any] = {
    kind.__reduce__ for kind in (object, OrderedDict, defaultdict, deque, set, frozenset, MethodType)
} | {functools.partial.__reduce__}

_Part = tuple[str, object, object]
"""Format of one step of a path, the value in it, and the object that the step leads to."""


def describe_unpicklable(parts: Mapping[str, object], whole: str, error: Exception) -> str:
    """Return a sentence on the object inside the named `parts` that cannot be pickled.

    Parameters
    ----------
    whole
        Name of all parts together.
    error
        The error of the pickler.
    """
    name = next((name for name, part in parts.items() if not pickles(part)), next(iter(parts)))
    path, culprit = _find_culprit(parts[name], name)
    if path.startswith(("'s ", ".", "[")):
        path = "its " + path.removeprefix("'s ")
    kind = f"{type(culprit).__module__}.{type(culprit).__qualname__}"
    return f"{path or whole} is a {kind}, which cannot be pickled ({text_of(error)[:_SHOWN_CHARACTERS]})"


class _Nowhere:
    """File that discards all that is written."""

    def write(self, data: object) -> None:
        """Discard a piece of a pickle."""


class _Probe(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    """Pickler for a trial: its output is discarded, content is not copied. It takes a Cluster's handles."""

    def __init__(self) -> None:
        super().__init__(_Nowhere(), pickle.HIGHEST_PROTOCOL, buffer_callback=lambda _: None)

    def reducer_override(self, thing: Any) -> Any:
        """Return how `thing` is reduced; see `pickle.Pickler.reducer_override`."""
        return (int, ()) if type(thing) in reducers else super().reducer_override(thing)


def pickles(thing: object) -> bool:
    """Return whether `thing` can be pickled."""
    try:
        _Probe().dump(thing)
    except Exception:
        return False
    return True


def _find_culprit(thing: object, path: str, above: tuple[object, ...] = ()) -> tuple[str, object]:
    """Return path and object of the innermost part of `thing` that does not pickle; `above` are its containers."""
    above = (*above, thing)
    with contextlib.suppress(Exception):  # an object's own methods may raise anything
        found = _parts(thing) if len(above) <= _MAX_DEPTH else ()
        parts = [part for part in found if not any(part[2] is one for one in above)]
        if parts and not pickles([part for _, _, part in parts]):
            while len(parts) > 1:
                half = parts[: len(parts) // 2]
                parts = parts[len(half) :] if pickles([part for _, _, part in half]) else half
            form, key, part = parts[0]
            return _find_culprit(part, path + _step(form, key), above)
    return path, thing


def _step(form: str, key: object) -> str:
    """Return one step of a path as text."""
    try:
        text = form % (key,)
    except Exception:  # raised by its __repr__
        text = form.replace("%r", "%s") % f"a {type(key).__qualname__}"
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…]"


def _parts(thing: Any) -> Iterator[_Part]:
    """Yield the objects directly inside `thing` that its pickle would hold."""
    if isinstance(thing, type):
        yield from ((".%s", key, value) for key, value in vars(thing).items() if _is_own(key))
    elif isinstance(thing, FunctionType):
        yield from _function_parts(thing)
    elif type(thing).__reduce__ not in _SEARCHED_REDUCTIONS:
        return
    elif isinstance(thing, MethodType):
        yield from ((".%s", "__func__", thing.__func__), (".%s", "__self__", thing.__self__))
    elif isinstance(thing, functools.partial):
        yield from ((".%s", name, getattr(thing, name)) for name in ("func", "args", "keywords"))
    elif isinstance(thing, dict):
        yield from (("'s key %r", key, key) for key in thing)
        yield from (("[%r]", key, value) for key, value in thing.items())
    elif isinstance(thing, _SEQUENCES):
        yield from (("[%r]", index, value) for index, value in enumerate(thing))
    else:
        yield "'s class %s", type(thing).__qualname__, type(thing)
        state = thing.__getstate__()
        for attributes in state if isinstance(state, tuple) else (state,):
            yield from ((".%s", key, value) for key, value in (attributes or {}).items())


def _is_own(name: str) -> bool:
    return name not in ("__dict__", "__weakref__")  # descriptors that Python makes for each class


def _function_parts(function: FunctionType) -> Iterator[_Part]:
    code = function.__code__
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=False):
        with contextlib.suppress(ValueError):  # the variable has no value yet
            yield "'s variable %s", name, cell.cell_contents
    for name in _names(code):
        if name in function.__globals__:
            yield "'s global %s", name, function.__globals__[name]
    defaults = function.__defaults__ or ()
    named = code.co_varnames[code.co_argcount - len(defaults) : code.co_argcount]
    yield from (("'s default %s", name, value) for name, value in zip(named, defaults, strict=True))
    yield from (("'s default %s", name, value) for name, value in (function.__kwdefaults__ or {}).items())
    yield from ((".%s", key, value) for key, value in vars(function).items())


def _names(code: CodeType) -> Iterator[str]:
    """Yield the global names in a function, and in the functions within it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def text_of(error: BaseException) -> str:
    """Return the message of an exception, also where its ``__str__`` fails."""
    try:
        return str(error)
    except Exception:
        return "(it cannot be printed)"
