"""Pickles that travel to workers and back, and what is said of objects that cannot."""

import contextlib
import functools
import pickle
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import CodeType, FunctionType, MethodType
from typing import Any

import cloudpickle

from hpcml.errors import HpcmlError, TaskError
from hpcml.payload import Packed, dumps_result, reduces

__all__ = ["Rebuilt", "dumps", "dumps_parts", "is_plain", "pack_arguments", "pack_error", "pack_object"]


_PLAIN = (int, float, str, bytes, bool, type(None))
_SMALL = 1 << 17  # bytes
_SHORT = 1 << 10
_DEPTH = 8  # objects in one another that are looked into
_SHOWN = 200  # characters of a user's text in a message
# What these types' pickles hold is known; any other with a __reduce__ of its own decides that itself.
_SEQUENCES = (list, tuple, set, frozenset, deque)
_KNOWN: set[Any] = {
    kind.__reduce__ for kind in (object, OrderedDict, defaultdict, deque, set, frozenset, MethodType)
} | {functools.partial.__reduce__}

_Part = tuple[str, Any, Any]  # how a step of a path is written, what is written there, and the object it leads to


def dumps(thing: Any) -> bytes:
    """Pickle `thing`, functions and classes of ``__main__`` by value."""
    packed: bytes = cloudpickle.dumps(thing, protocol=pickle.HIGHEST_PROTOCOL)
    return packed


def dumps_parts(*parts: Any) -> bytes:
    """Pickle a tuple of `parts`; the same bytes, in a quarter of the time, where all are plain values.

    Raises
    ------
    TaskError
        A part cannot be pickled; the message names the object inside it that cannot.
    """
    if all(type(part) in _PLAIN for part in parts):
        return pickle.dumps(parts, pickle.HIGHEST_PROTOCOL)
    try:
        return dumps_result(parts)
    except Exception as error:
        bad = [part for part in parts if not _pickles(part)]
        if not bad:  # a handle of a Cluster; its error says it all
            raise
        raise TaskError(_blame({"": bad[0]}, "it", error)) from error


def is_plain(args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Tell whether all arguments are short and of types that every pickle knows.

    Examples
    --------
    >>> from hpcml.pickling import is_plain
    >>> is_plain((1, "a"), {"x": 2.0}), is_plain(([1],), {})
    (True, False)
    """
    return all(
        type(part) in _PLAIN and not (isinstance(part, str | bytes) and len(part) > _SHORT)
        for part in (*args, *kwargs.values())
    )


def pack_arguments(
    args: tuple[Any, ...], kwargs: dict[str, Any], what: str, dump: Callable[[Any], Packed]
) -> Packed:
    """Pickle the arguments of a call; see `pack_object`."""
    if not kwargs and all(type(part) in _PLAIN for part in args):
        packed = pickle.dumps((args, kwargs), pickle.HIGHEST_PROTOCOL)
        if len(packed) < _SMALL:
            return packed
    return pack_object((args, kwargs), what, dump, {"args": args, "kwargs": kwargs})


def pack_object(
    thing: Any, what: str, dump: Callable[[Any], Packed], parts: Mapping[str, Any] | None = None
) -> Packed:
    """Pickle `thing`, which may consist of named `parts`, or say which object inside it cannot travel.

    Raises
    ------
    TaskError
        `thing` cannot be pickled by `dump`; the message names the innermost culprit that could be found.
    """
    try:
        return dump(thing)
    except HpcmlError:
        raise
    except Exception as error:
        raise TaskError(
            f"{what} cannot travel to a worker: {_blame(parts or {'': thing}, what, error)}. Create it inside "
            "the function, or pass what is needed to create it there."
        ) from error


def _blame(parts: Mapping[str, Any], what: str, error: Exception) -> str:
    """Say which object inside the named `parts` cannot be pickled; `what` stands for all of it."""
    name = next((name for name, part in parts.items() if not _pickles(part)), next(iter(parts)))
    path, culprit = _culprit(parts[name], name)
    if path.startswith(("'s ", ".", "[")):
        path = "its " + path.removeprefix("'s ")
    kind = f"{type(culprit).__module__}.{type(culprit).__qualname__}"
    return f"{path or what} is a {kind}, which cannot be pickled ({_text(error)[:_SHOWN]})"


class _Nowhere:
    """A file that keeps nothing."""

    def write(self, data: Any) -> None:
        """Drop a piece of a pickle."""


class _Probe(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    """Only tells whether something can be pickled; a Cluster's handles can, and content is not copied."""

    def __init__(self) -> None:
        super().__init__(_Nowhere(), pickle.HIGHEST_PROTOCOL, buffer_callback=lambda _: None)

    def reducer_override(self, thing: Any) -> Any:
        """Return how `thing` is reduced; see `pickle.Pickler.reducer_override`."""
        return (int, ()) if type(thing) in reduces else super().reducer_override(thing)


def _pickles(thing: Any) -> bool:
    try:
        _Probe().dump(thing)
    except Exception:
        return False
    return True


def _culprit(thing: Any, path: str, above: tuple[Any, ...] = ()) -> tuple[str, Any]:
    """Return the path and the innermost part of `thing`, which is inside those `above`, that does not pickle."""
    above = (*above, thing)
    with contextlib.suppress(Exception):  # an object's own methods may raise anything
        found = _parts(thing) if len(above) <= _DEPTH else ()
        parts = [part for part in found if not any(part[2] is one for one in above)]
        if parts and not _pickles([part for _, _, part in parts]):
            while len(parts) > 1:
                half = parts[: len(parts) // 2]
                parts = parts[len(half) :] if _pickles([part for _, _, part in half]) else half
            form, key, part = parts[0]
            return _culprit(part, path + _step(form, key), above)
    return path, thing


def _step(form: str, key: Any) -> str:
    try:
        text = form % (key,)
    except Exception:  # its __repr__
        text = form.replace("%r", "%s") % f"a {type(key).__qualname__}"
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…]"


def _parts(thing: Any) -> Iterator[_Part]:
    """Yield the objects directly inside `thing` that its pickle would hold."""
    if isinstance(thing, type):
        yield from ((".%s", key, value) for key, value in vars(thing).items() if _is_own(key))
    elif isinstance(thing, FunctionType):
        yield from _function_parts(thing)
    elif type(thing).__reduce__ not in _KNOWN:
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
    return name not in ("__dict__", "__weakref__")  # descriptors that each class gets anew


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


def pack_error(error: BaseException) -> bytes:
    """Pickle an exception so that it keeps its type, also where its ``__init__`` wants other arguments.

    Attributes that cannot be pickled are left behind.
    """
    state: dict[str, Any] = {}
    with contextlib.suppress(Exception):  # a __dict__ of the class's own
        state = {name: value for name, value in vars(error).items() if _travels(value)}
    for form in (error, Rebuilt(type(error), error.args, state)):
        try:
            packed = dumps_result(form)
            loaded = pickle.loads(packed)
            if isinstance(loaded, Rebuilt):
                loaded.build()
        except Exception:
            continue
        return packed
    kind = f"{type(error).__module__}.{type(error).__qualname__}"
    return pickle.dumps(TaskError(f"{kind}, which cannot travel: {_text(error)}"))


def _travels(value: Any) -> bool:
    try:
        pickle.loads(dumps(value))
    except Exception:
        return False
    return True


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "(it cannot be printed)"


@dataclass(frozen=True)
class Rebuilt:
    """What is needed to make an exception again without calling its ``__init__``."""

    kind: type[BaseException]
    args: tuple[Any, ...]
    state: dict[str, Any]

    def build(self) -> BaseException:
        """Return the exception."""
        error = self.kind.__new__(self.kind, *self.args)
        vars(error).update(self.state)
        return error
