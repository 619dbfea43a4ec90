"""The envelope around a task: how a call travels to a worker, runs there, and how its outcome returns.

A frame is what travels in one message: a pickled list of packed calls. Each call and each outcome is
pickled on its own, so that one that cannot be unpickled spoils no other.
"""

import contextlib
import io
import os
import pickle
import socket
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from hpcml.errors import TaskError
from hpcml.pickling import Rebuilt, dumps, dumps_parts, pack_arguments, pack_error, pack_object

__all__ = [
    "Batch",
    "Call",
    "Outcome",
    "RemoteTraceback",
    "Worker",
    "become_worker",
    "current_worker",
    "name_of",
    "pack",
    "pack_batch",
    "pack_frame",
    "run_frame",
    "unpack_outcomes",
]


@dataclass(frozen=True)
class Worker:
    """The process that fills a slot: ``host`` names the node, ``slot`` counts from 0 on that node."""

    host: str
    slot: int

    def __str__(self) -> str:
        return f"{self.host}:{self.slot}"


_worker: Worker | None = None


def become_worker(host: str, slot: int) -> None:
    """Tell this process which slot it fills; engines call it once in each worker."""
    global _worker  # noqa: PLW0603  one process is one worker
    _worker = Worker(host, slot)


def current_worker() -> Worker | None:
    """Return the slot this process fills, or None in a driver.

    Examples
    --------
    >>> from hpcml.task import current_worker
    >>> current_worker() is None
    True
    """
    return _worker


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

    function: bytes
    arguments: bytes
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


def pack(function: Callable[..., Any], args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None) -> Call:
    """Pack one call of `function`; see `Call`. Raises TaskError when a part of it cannot travel."""
    name = name_of(function)
    return Call(
        pack_object(function, f"the function {name}"),
        pack_arguments(tuple(args), kwargs or {}, f"an argument of {name}"),
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


def pack_batch(batch: Batch, group: str, width: int | None) -> Call:
    """Pack a batch; see `Call`. Raises TaskError when a part of it cannot travel."""
    arguments = pack_object(((batch,), {}), "a task given to joblib")
    return Call(_CALL_BATCH, arguments, "a joblib batch", group, width, len(batch))


def pack_frame(calls: Sequence[Call]) -> bytes:
    """Join packed calls into the bytes of one frame; equal functions travel once (pickle's memo).

    This process' ``sys.path`` travels along, so that workers find the modules that the script has found.
    """
    return pickle.dumps((sys.path, [(call.function, call.arguments) for call in calls]), pickle.HIGHEST_PROTOCOL)


def run_frame(frame: bytes) -> bytes:
    """Run all calls of a frame, one after the other, and return their packed outcomes."""
    path: list[str]
    calls: list[tuple[bytes, bytes]]
    path, calls = pickle.loads(frame)
    _adopt_path(path)
    worker = str(_worker or Worker(socket.gethostname(), os.getpid()))
    output = io.StringIO()
    functions: dict[bytes, Any] = {}
    with (
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(output),
        warnings.catch_warnings(record=True) as caught,
    ):
        outcomes = []
        for function, arguments in calls:
            outcomes.append(_run(function, arguments, functions, output, caught))
            sys.stdout = sys.stderr = output  # whatever the task has made of them
    return pickle.dumps((worker, outcomes), pickle.HIGHEST_PROTOCOL)


_adopted_path: list[str] = []


def _adopt_path(path: list[str]) -> None:
    """Put the driver's ``sys.path`` before this process' own."""
    global _adopted_path  # noqa: PLW0603  a frame is compared with the one before
    if path != _adopted_path:
        _adopted_path = path
        sys.path[:] = [*path, *(entry for entry in sys.path if entry not in path)]


def _run(
    function: bytes,
    arguments: bytes,
    functions: dict[bytes, Any],
    output: io.StringIO,
    caught: list[warnings.WarningMessage],
) -> bytes:
    """Run one packed call; whatever happens, a packed outcome is returned."""
    value, error, trace, printed, records = None, None, "", "", None
    started, tick = time.time(), time.perf_counter()
    try:
        if function not in functions:
            functions[function] = pickle.loads(function)
        args, kwargs = pickle.loads(arguments)
        tick = time.perf_counter()
        value = functions[function](*args, **kwargs)
    except BaseException as raised:
        error, trace = raised, traceback.format_exc()
    seconds = time.perf_counter() - tick
    if output.tell():
        printed = output.getvalue()
        output.seek(0)
        output.truncate()
    if caught:
        records = tuple((str(w.message), w.category, w.filename, w.lineno) for w in caught)
        caught.clear()
    return _pack_outcome(value, error, (trace, started, seconds, printed, records))


def _pack_outcome(value: Any, error: BaseException | None, about: tuple[Any, ...]) -> bytes:
    try:
        return dumps_parts(value, None if error is None else pack_error(error), *about)
    except Exception as unpicklable:
        kind = f"{type(value).__module__}.{type(value).__qualname__}"
        lost = TaskError(f"the result, a {kind}, cannot travel back: {unpicklable}. Return plain data instead.")
        return dumps_parts(None, pack_error(lost), *about[:-1], None)


def unpack_outcomes(frame: bytes) -> list[Outcome]:
    """Return the outcomes of a frame's calls, in order; an error has a `RemoteTraceback` as its cause."""
    worker, outcomes = pickle.loads(frame)
    return [_unpack_outcome(packed, worker) for packed in outcomes]


def _unpack_outcome(packed: bytes, worker: str) -> Outcome:
    try:
        value, packed_error, trace, started, seconds, printed, records = pickle.loads(packed)
        error = None if packed_error is None else pickle.loads(packed_error)
    except Exception as unreadable:
        lost = TaskError(f"the outcome of a task cannot be unpickled in the driver: {unreadable!r}")
        return Outcome(None, lost, worker)
    if isinstance(error, Rebuilt):
        error = error.build()
    if error is not None:
        error.__cause__ = RemoteTraceback(worker, trace)
    return Outcome(value, error, worker, started, seconds, printed, records or ())
