"""Pickles of plain values, results and errors; errors that name the object that cannot be pickled."""

import contextlib
import pickle
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import cloudpickle

from hpcml.data.out_of_band import dumps_result
from hpcml.data.unpicklable import describe_unpicklable, pickles, text_of
from hpcml.errors import HpcmlError, TaskError

__all__ = [
    "dumps",
    "dumps_parts",
    "is_plain",
    "pack_error",
    "pack_plain",
    "raise_unpicklable",
]

_PLAIN = frozenset((int, float, str, bytes, bool, type(None)))
_MAX_PLAIN_NBYTES = 1 << 17  # of all arguments of a call
_MAX_TEXT_LENGTH = 1 << 10  # of one of several calls


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
        bad = [part for part in parts if not pickles(part)]
        if not bad:  # a handle of a Cluster, whose error says it all
            raise
        raise TaskError(describe_unpicklable({"": bad[0]}, "it", error)) from error


def is_plain(args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Return whether all arguments are numbers, None or short texts.

    Examples
    --------
    >>> from hpcml.data.pickling import is_plain
    >>> is_plain((1, "a"), {"x": 2.0}), is_plain(([1],), {})
    (True, False)
    """
    parts = (*args, *kwargs.values()) if kwargs else args
    if not _PLAIN.issuperset(map(type, parts)):
        return False
    return all(len(part) <= _MAX_TEXT_LENGTH for part in parts if isinstance(part, str | bytes))


def pack_plain(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bytes | None:
    """Pickle the arguments of a call where nothing can change them; None for others, and for long ones."""
    if kwargs or not all(type(part) in _PLAIN for part in args):
        return None
    packed = pickle.dumps((args, kwargs), pickle.HIGHEST_PROTOCOL)
    return packed if len(packed) < _MAX_PLAIN_NBYTES else None


def raise_unpicklable(error: Exception, what: str, parts: Mapping[str, Any]) -> NoReturn:
    """Raise the error for something that could not be pickled: it says which object inside it cannot be sent.

    Parameters
    ----------
    error
        Error of the pickler; errors of this package are raised as they are.
    what
        Name of it all in the message.
    parts
        Named parts, among which the object is looked for.

    Raises
    ------
    TaskError
        The message names the innermost culprit that is found.
    """
    if isinstance(error, HpcmlError):
        raise error
    reason = describe_unpicklable(parts, what, error)
    raise TaskError(
        f"{what} cannot be sent to a worker: {reason}. Create it inside the function, or pass what is needed to "
        "create it there."
    ) from error


def pack_error(error: BaseException) -> bytes:
    """Pickle an exception with its type and attributes; see `hpcml.data.exceptions`.

    Parts that cannot be pickled are left out: an attribute, a cause, at last the type.
    """
    for bare in (False, True):
        if bare:
            for link in ("__cause__", "__context__"):
                BaseException.__setattr__(error, link, None)
        with contextlib.suppress(Exception):
            packed = dumps_result(error)
            pickle.loads(packed)
            return packed
    kind = f"{type(error).__module__}.{type(error).__qualname__}"
    return pickle.dumps(TaskError(f"{kind}, which cannot be sent: {text_of(error)}"))
