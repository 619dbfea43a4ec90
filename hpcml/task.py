"""The envelope around a task: how a call travels to a worker, runs there, and how its outcome returns.

A frame is what travels in one message: a pickled list of packed calls. Each call and each outcome is
pickled on its own, so that one that cannot be unpickled spoils no other.
"""

import pickle
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

from hpcml.broadcast import open_keys
from hpcml.errors import TaskError
from hpcml.payload import Packed
from hpcml.pickling import Rebuilt, dumps, pack_arguments, pack_object

__all__ = [
    "Batch",
    "Call",
    "Outcome",
    "RemoteTraceback",
    "name_of",
    "pack",
    "pack_batch",
    "pack_frame",
    "unpack_outcomes",
]


class RemoteTraceback(Exception):
    """The cause of an exception that a task raised on a worker: where, and the traceback there."""

    def __init__(self, worker: str, text: str) -> None:
        super().__init__(worker, text)
        self.worker, self.text = worker, text

    def __str__(self) -> str:
        return f"on {self.worker}\n{self.text}"


class Call(NamedTuple):  # a tuple, for there may be a million of them
    """A packed call.

    Parameters
    ----------
    function, arguments
        Pickles of the function and of ``(args, kwargs)``; apart, so that ``map`` pickles its function once.
    name
        What messages call it.
    group
        Calls of one group travel together and are taken to last about equally long.
    width
        At most so many frames of the group are in flight at once; None: as many as there is room for.
    tasks
        How many of the user's calls it holds: 1, or the length of a joblib batch.
    """

    function: Packed
    arguments: Packed
    name: str
    group: str
    width: int | None = None
    tasks: int = 1


class Outcome(NamedTuple):
    """What became of a call on its worker; ``seconds`` is the wall time of the call alone."""

    value: Any = None
    error: BaseException | None = None
    worker: str = ""
    started: float = 0.0
    seconds: float = 0.0
    output: str = ""
    warnings: tuple[tuple[Any, ...], ...] = ()


def name_of(function: Callable[..., Any]) -> str:
    """Return what messages call `function`."""
    function = getattr(function, "func", function)  # functools.partial
    name = getattr(function, "__qualname__", type(function).__qualname__)
    return f"{getattr(function, '__module__', '?')}.{name}"


def pack(
    function: Callable[..., Any],
    args: Sequence[Any] = (),
    kwargs: dict[str, Any] | None = None,
    dump: Callable[[Any], Packed] = dumps,
) -> Call:
    """Pack one call of `function`; see `Call`. Raises TaskError when a part of it cannot travel."""
    name = name_of(function)
    return Call(
        pack_object(function, f"the function {name}", dump),
        pack_arguments(tuple(args), kwargs or {}, f"an argument of {name}", dump),
        name,
        name,
    )


class Batch(Protocol):
    """Several calls in one object, as joblib makes them."""

    def __call__(self) -> Any:
        """Run all and return the list of their results."""

    def __len__(self) -> int:
        """Return how many they are."""


def _call_batch(batch: Batch) -> Any:
    return batch()


_CALL_BATCH = dumps(_call_batch)


def pack_batch(batch: Batch, group: str, width: int | None, dump: Callable[[Any], Packed] = dumps) -> Call:
    """Pack a batch; see `Call`. Raises TaskError when a part of it cannot travel."""
    arguments = pack_object(((batch,), {}), "a task given to joblib", dump)
    return Call(_CALL_BATCH, arguments, "a joblib batch", group, width, len(batch))


def pack_frame(calls: Iterable[Call]) -> bytes:
    """Join packed calls into the bytes of one frame; equal functions travel once (pickle's memo).

    This process' ``sys.path`` travels along, so that workers find the modules that the script has found,
    and the keys of its open broadcast handles, so that they forget the others.
    """
    packed = [(call.function, call.arguments) for call in calls]
    return pickle.dumps((sys.path, open_keys(), packed), pickle.HIGHEST_PROTOCOL)


def unpack_outcomes(frame: bytes) -> list[Outcome]:
    """Return the outcomes of a frame's calls, in order; an error has a `RemoteTraceback` as its cause."""
    worker, outcomes = pickle.loads(frame)
    return [_unpack_outcome(packed, worker) for packed in outcomes]


def _unpack_outcome(packed: bytes, worker: str) -> Outcome:
    try:
        value, packed_error, trace, started, seconds, printed, records = pickle.loads(packed)
        error = None if packed_error is None else pickle.loads(packed_error)
        if isinstance(error, Rebuilt):
            error = error.build()
        if error is not None:  # past the class's own __setattr__: it may be a frozen dataclass
            BaseException.__setattr__(error, "__cause__", RemoteTraceback(worker, trace))
    except BaseException as unreadable:  # a __setstate__ of the user's may raise anything
        lost = TaskError(f"the outcome of a task cannot be unpickled in the driver: {unreadable!r}")
        return Outcome(None, lost, worker)
    return Outcome(value, error, worker, started, seconds, printed, _unpack_records(records))


def _unpack_records(packed: bytes) -> tuple[tuple[Any, ...], ...]:
    try:
        return tuple(pickle.loads(packed)) if packed else ()
    except Exception:
        return ()
