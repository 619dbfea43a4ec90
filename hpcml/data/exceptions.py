"""Exceptions on their way from a task to the driver: the type, and all that one holds.

A pickle of Python's calls the class with ``args``, which fails where ``__init__`` wants others, and is silently
wrong where ``__init__`` makes a message of them. Here an exception is made without ``__init__``, and then filled.
A class that says itself how it is pickled is believed, where its pickle can be loaded.
"""

import contextlib
import pickle
import threading
from collections.abc import Callable, Iterator
from types import MemberDescriptorType
from typing import Any

__all__ = ["attach", "reduce_error"]

_PLAIN = (int, float, str, bytes, bool, type(None))
_PICKLES = ("__reduce__", "__reduce_ex__", "__getstate__", "__setstate__", "__getnewargs__", "__getnewargs_ex__")
_LINKS = ("__cause__", "__context__", "__suppress_context__")  # in this order: the first sets the last

_tried = threading.local()


def reduce_error(error: BaseException, dumps: Callable[[Any], bytes] | None = None) -> tuple[Any, ...]:
    """Return how a pickle makes an exception.

    Parameters
    ----------
    dumps
        Pickles an object, for a trial: attributes that cannot be pickled, or not be loaded, are then left behind,
        and in ``args`` a text takes their place. None: nothing is tried.
    """
    kind, base = type(error), _builtin(type(error))
    if any(getattr(kind, name, None) is not getattr(base, name, None) for name in _PICKLES):
        form = _own_form(error, dumps)
        if form is not None:
            return form
    content = [value if _travels(value, dumps) else repr(value) for value in error.args]
    made: tuple[Any, ...] = tuple(content)
    if isinstance(error, BaseExceptionGroup):
        made = (error.message, error.exceptions)
    elif len(full := base.__reduce__(error)[1]) > len(made):  # the file of an OSError is not in its args
        made = (*made, *full[len(made) :])
    attributes = {name: value for name, value in _attributes(error).items() if _travels(value, dumps)}
    members = {name: value for name, value in _members(error) if _travels(value, dumps)}
    links = {name: getattr(error, name) for name in _LINKS}
    return _make, (kind, base, made), (tuple(content), attributes, members, links), None, None, _fill


class _Own:
    """Stands for an exception that says itself how it is pickled."""

    def __init__(self, form: Any) -> None:
        self.form = form

    def __reduce__(self) -> Any:
        return self.form


def _own_form(error: BaseException, dumps: Callable[[Any], bytes] | None) -> tuple[Any, ...] | None:
    try:
        form = error.__reduce_ex__(pickle.HIGHEST_PROTOCOL)
    except Exception:
        return None
    return form if isinstance(form, tuple) and _travels(_Own(form), dumps) else None


def _builtin(kind: type[BaseException]) -> Any:
    """Return the class of Python's that a class of exceptions is derived from, the one with the most in it."""
    bases = [base for base in kind.__mro__ if base.__module__ == "builtins"]
    return max(bases, key=lambda base: base.__basicsize__)


def _attributes(error: BaseException) -> dict[str, Any]:
    try:
        return dict(vars(error))
    except Exception:  # a __dict__ of the class's own
        return {}


def _members(error: BaseException) -> Iterator[tuple[str, Any]]:
    """Yield what an exception holds elsewhere than in its __dict__: slots, and the fields of Python's classes."""
    for kind in type(error).__mro__:
        for name, member in vars(kind).items():
            if isinstance(member, MemberDescriptorType) and not name.startswith("__"):
                value = getattr(error, name, None)
                if value is not None:
                    yield name, value


def _travels(value: Any, dumps: Callable[[Any], bytes] | None) -> bool:
    """Tell whether a value can be pickled and loaded."""
    if dumps is None or type(value) in _PLAIN:
        return True
    if isinstance(value, BaseException):  # what of it cannot be pickled is left behind
        return True
    tried = vars(_tried).setdefault("ids", set())
    if id(value) in tried:  # it is being tried: it holds the exception that holds it
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
    """Give an exception what it held; past its class's own __setattr__, for it may be a frozen dataclass."""
    args, attributes, members, links = state
    BaseException.__setattr__(error, "args", args)
    with contextlib.suppress(Exception):
        vars(error).update(attributes)
    for name, value in (members | links).items():
        with contextlib.suppress(AttributeError, TypeError):
            BaseException.__setattr__(error, name, value)


def attach(error: BaseException, cause: BaseException) -> None:
    """Make `cause` the cause of an exception, or where that was raised from another one, of the first of them.

    Whether its context is shown stays as it was.
    """
    met = {id(error)}
    while error.__cause__ is not None and id(error.__cause__) not in met:
        error = error.__cause__
        met.add(id(error))
    hidden = error.__suppress_context__
    BaseException.__setattr__(error, "__cause__", cause)
    BaseException.__setattr__(error, "__suppress_context__", hidden)
