"""Pickles of exceptions: the type of an exception, and all its content.

Python's own pickle calls the class with ``args``. That fails where ``__init__`` takes other arguments, and is
silently wrong where ``__init__`` makes a message of them. Here an exception is made without ``__init__``, and then
filled. The reduction that a class defines is used if its pickle can be loaded.

Recorded results hold the names of this module and of `_make` and `_fill`.
"""

import contextlib
import pickle
import threading
from collections.abc import Callable, Iterator
from types import MemberDescriptorType
from typing import Any

__all__ = ["attach_cause", "reduce_error"]

_PLAIN = (int, float, str, bytes, bool, type(None))
# Methods by which a class defines the pickles of its objects.
_HOOKS = ("__reduce__", "__reduce_ex__", "__getstate__", "__setstate__", "__getnewargs__", "__getnewargs_ex__")
_LINKS = ("__cause__", "__context__", "__suppress_context__")  # in this order: the first sets the last

_tried = threading.local()


def reduce_error(error: BaseException, dumps: Callable[[object], bytes] | None = None) -> tuple[Any, ...]:
    """Return the reduction of an exception.

    Parameters
    ----------
    dumps
        Pickles an object, for a trial. Attributes that cannot be pickled or loaded are then left out; in ``args``,
        a text takes their place. None: nothing is tried.
    """
    kind = type(error)
    base = _builtin_base(kind)
    if any(getattr(kind, name, None) is not getattr(base, name, None) for name in _HOOKS):
        reduced = _own_reduction(error, dumps)
        if reduced is not None:
            return reduced
    content = [value if _is_picklable(value, dumps) else repr(value) for value in error.args]
    made: tuple[Any, ...] = tuple(content)
    if isinstance(error, BaseExceptionGroup):
        made = (error.message, error.exceptions)
    elif len(full := base.__reduce__(error)[1]) > len(made):  # the file of an OSError is not in its args
        made = (*made, *full[len(made) :])
    attributes = {name: value for name, value in _attributes(error).items() if _is_picklable(value, dumps)}
    members = {name: value for name, value in _members(error) if _is_picklable(value, dumps)}
    links = {name: getattr(error, name) for name in _LINKS}
    return _make, (kind, base, made), (tuple(content), attributes, members, links), None, None, _fill


class _WithReduction:
    """An object with a given reduction, for the trial of that."""

    def __init__(self, reduced: Any) -> None:
        self.reduced = reduced

    def __reduce__(self) -> Any:
        return self.reduced


def _own_reduction(error: BaseException, dumps: Callable[[object], bytes] | None) -> tuple[Any, ...] | None:
    """Return the reduction that the class of an exception defines; None where that fails."""
    try:
        reduced = error.__reduce_ex__(pickle.HIGHEST_PROTOCOL)
    except Exception:
        return None
    return reduced if isinstance(reduced, tuple) and _is_picklable(_WithReduction(reduced), dumps) else None


def _builtin_base(kind: type[BaseException]) -> Any:
    """Return the built-in base of a class of exceptions; of several, the one with the largest objects."""
    bases = [base for base in kind.__mro__ if base.__module__ == "builtins"]
    return max(bases, key=lambda base: base.__basicsize__)


def _attributes(error: BaseException) -> dict[str, Any]:
    try:
        return dict(vars(error))
    except Exception:  # the class defines a __dict__ of its own
        return {}


def _members(error: BaseException) -> Iterator[tuple[str, Any]]:
    """Yield names and values of an exception's slots, and of the fields of its built-in bases."""
    for kind in type(error).__mro__:
        for name, member in vars(kind).items():
            if isinstance(member, MemberDescriptorType) and not name.startswith("__"):
                value = getattr(error, name, None)
                if value is not None:
                    yield name, value


def _is_picklable(value: object, dumps: Callable[[object], bytes] | None) -> bool:
    """Return whether a value can be pickled and loaded."""
    if dumps is None or type(value) in _PLAIN:
        return True
    if isinstance(value, BaseException):  # its own reduction leaves out attributes that cannot be pickled
        return True
    tried = vars(_tried).setdefault("ids", set())
    if id(value) in tried:  # its trial is under way: it holds the exception that holds it
        return True
    tried.add(id(value))
    try:
        pickle.loads(dumps(value))
    except Exception:
        return False
    finally:
        tried.discard(id(value))
    return True


def _make(kind: Any, base: Any, args: tuple[Any, ...]) -> BaseException:
    error: BaseException = base.__new__(kind, *args)
    return error


def _fill(error: BaseException, state: tuple[Any, ...]) -> None:
    """Set the content of an exception.

    The ``__setattr__`` of its class is not called: a frozen dataclass would refuse.
    """
    args, attributes, members, links = state
    BaseException.__setattr__(error, "args", args)
    with contextlib.suppress(Exception):
        vars(error).update(attributes)
    for name, value in (members | links).items():
        with contextlib.suppress(AttributeError, TypeError):
            BaseException.__setattr__(error, name, value)


def attach_cause(error: BaseException, cause: BaseException) -> None:
    """Make `cause` the cause of an exception, or of the last exception in its chain of causes.

    Whether the context is shown stays as it was.
    """
    seen = {id(error)}
    while error.__cause__ is not None and id(error.__cause__) not in seen:
        error = error.__cause__
        seen.add(id(error))
    hidden = error.__suppress_context__
    BaseException.__setattr__(error, "__cause__", cause)
    BaseException.__setattr__(error, "__suppress_context__", hidden)
