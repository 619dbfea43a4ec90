"""Pickles that travel to workers and back, and what is said of objects that cannot."""

import pickle
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import cloudpickle

from hpcml.errors import HpcmlError, TaskError
from hpcml.payload import Packed, dumps_result, reduces

__all__ = ["Rebuilt", "dumps", "dumps_parts", "pack_arguments", "pack_error", "pack_object"]


_PLAIN = (int, float, str, bytes, bool, type(None))
_SMALL = 1 << 17  # bytes


def dumps(thing: Any) -> bytes:
    """Pickle `thing`, functions and classes of ``__main__`` by value."""
    packed: bytes = cloudpickle.dumps(thing, protocol=pickle.HIGHEST_PROTOCOL)
    return packed


def dumps_parts(*parts: Any) -> bytes:
    """Pickle a tuple of `parts`; the same bytes, in a quarter of the time, where all are plain values."""
    if all(type(part) in _PLAIN for part in parts):
        return pickle.dumps(parts, pickle.HIGHEST_PROTOCOL)
    return dumps_result(parts)


def pack_arguments(
    args: tuple[Any, ...], kwargs: dict[str, Any], what: str, dump: Callable[[Any], Packed]
) -> Packed:
    """Pickle the arguments of a call; see `pack_object`."""
    if not kwargs and all(type(part) in _PLAIN for part in args):
        packed = pickle.dumps((args, kwargs), pickle.HIGHEST_PROTOCOL)
        if len(packed) < _SMALL:
            return packed
    return pack_object((args, kwargs), what, dump)


def pack_object(thing: Any, what: str, dump: Callable[[Any], Packed]) -> Packed:
    """Pickle `thing` with `dump`, or say which object inside it cannot travel.

    Raises
    ------
    TaskError
        `thing` cannot be pickled; the message names the innermost culprit that could be found.
    """
    try:
        return dump(thing)
    except HpcmlError:
        raise
    except Exception as error:
        path, culprit = _culprit(thing)
        raise TaskError(
            f"{what} cannot travel to a worker: {path or what} is a {type(culprit).__module__}."
            f"{type(culprit).__qualname__}, which cannot be pickled ({error}). Create it inside the function, "
            "or pass what is needed to create it there."
        ) from error


def _parts(thing: Any) -> Iterable[tuple[str, Any]]:
    """Yield the objects directly inside `thing` that its pickle would hold, with their paths."""
    if getattr(type(thing), "__reduce__", None) is not getattr(object, "__reduce__", None):
        return  # it decides itself what its pickle holds
    if isinstance(thing, dict):
        yield from ((f"[{key!r}]", value) for key, value in thing.items())
    elif isinstance(thing, list | tuple | set | frozenset):
        yield from ((f"[{index}]", value) for index, value in enumerate(thing))
    elif hasattr(thing, "func") and hasattr(thing, "args"):  # functools.partial
        yield from ((".func", thing.func), (".args", thing.args), (".keywords", thing.keywords))
    elif getattr(thing, "__code__", None) is not None:
        yield from _closure(thing)
    elif getattr(thing, "__self__", None) is not None:
        yield ".__self__", thing.__self__
    else:
        yield from ((f".{key}", value) for key, value in getattr(thing, "__dict__", {}).items())


def _closure(function: Any) -> Iterable[tuple[str, Any]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        yield f"'s variable {name}", cell.cell_contents
    for name in function.__code__.co_names:
        if name in function.__globals__:
            yield f"'s global {name}", function.__globals__[name]


def _culprit(thing: Any, path: str = "", depth: int = 6) -> tuple[str, Any]:
    """Return the path and the innermost part of `thing` that does not pickle by itself."""
    for step, part in _parts(thing) if depth else ():
        if type(part) in reduces:  # these travel, but not without their Cluster
            continue
        try:
            dumps(part)
        except Exception:
            return _culprit(part, path + step, depth - 1)
    return path, thing


def pack_error(error: BaseException) -> bytes:
    """Pickle an exception so that it keeps its type, also where its ``__init__`` wants other arguments.

    Attributes that cannot be pickled are left behind.
    """
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
