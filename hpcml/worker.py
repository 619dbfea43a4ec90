"""A task on its worker: run, timed, its warnings caught, and its outcome packed."""

import os
import pickle
import re
import resource
import socket
import sys
import time
import traceback
import warnings
from dataclasses import dataclass
from types import BuiltinFunctionType, FunctionType
from typing import Any

from hpcml.broadcast import keep_only
from hpcml.chunks import call_noting, run_chunk
from hpcml.errors import HpcmlError, TaskError
from hpcml.individuals import rebind_classes
from hpcml.managers import note_manager
from hpcml.payload import Maps, Packed, Payload, loads
from hpcml.pickling import dumps, dumps_parts, pack_error
from hpcml.streams import Streams
from hpcml.surroundings import adopt
from hpcml.task import Nested, join_outcomes

__all__ = ["Worker", "become_worker", "current_worker", "run_frame"]


@dataclass(frozen=True)
class Worker:
    """The process that fills a slot: ``host`` names the node, ``slot`` counts from 0 on that node."""

    host: str
    slot: int

    def __str__(self) -> str:
        return f"{self.host}:{self.slot}"


_worker: Worker | None = None
_streams: Streams | None = None


def become_worker(host: str, slot: int, streams: Streams | None = None) -> None:
    """Note which slot this process fills, and its standard streams; engines call it once in each worker.

    The streams are its own from its first frame on: what is printed before is the engine's.
    """
    global _worker, _streams
    rebind_classes()
    _worker, _streams = Worker(host, slot), streams


def current_worker() -> Worker | None:
    """Return the slot this process fills, or None in a driver.

    Examples
    --------
    >>> from hpcml.worker import current_worker
    >>> current_worker() is None
    True
    """
    return _worker


READ_ONLY = (
    "hpcml: arrays of more than max_nbytes (1 MB) are in memory once per node and shared by its workers, so they "
    "are read-only. For a private copy write `X = X.copy()` in the task, or joblib.Parallel(mmap_mode='c')."
)


def run_frame(frame: bytes) -> bytes:
    """Run all calls of a frame, one after the other, and return their packed outcomes."""
    calls: list[tuple[Packed, Packed, int, int]]
    surroundings, handles, limit, calls = pickle.loads(frame)
    worker = str(_worker or Worker(socket.gethostname(), os.getpid()))
    if _streams is not None:
        _streams.mend()
    refusal = adopt(surroundings) if surroundings else None
    keep_only(handles)
    functions: dict[Packed, Any] = {}
    outcomes = []
    with warnings.catch_warnings(record=True) as caught:
        for function, arguments, first, number in calls:
            part = slice(first, first + number) if number else None
            if refusal is not None:
                outcomes.append(_failed(refusal))
                continue
            outcomes.append(_limited(_run(function, arguments, part, functions, caught), limit))
            if _streams is not None:
                _streams.mend()
    if _streams is None:
        return join_outcomes(worker, outcomes)
    return join_outcomes(worker, outcomes, _streams.take(), _streams.count())


def _limited(packed: bytes, limit: int) -> bytes:
    """Return an outcome, or in place of one that is too large an error."""
    if len(packed) <= limit:
        return packed
    lost = TaskError(
        f"the result takes {len(packed):,} bytes, more than max_result_nbytes={limit:,}: write it to a file and "
        "return its path, or open Cluster(max_result_nbytes=…)"
    )
    return _failed(lost)


def _failed(error: HpcmlError) -> bytes:
    """Return the outcome of a call that has not run, or whose own outcome cannot be sent."""
    return _pack_outcome(None, error, ("", time.time(), 0.0, _peak(), "", b""))


def _run(
    function: Packed,
    arguments: Packed,
    part: slice | None,
    functions: dict[Packed, Any],
    caught: list[warnings.WarningMessage],
) -> bytes:
    """Run one packed call, or part of many; whatever happens, a packed outcome is returned."""
    value: Any = None
    error, trace = None, ""
    maps = Maps()  # a task's own: LAPACK may have written to what numpy holds to be read-only
    started, tick = time.time(), time.perf_counter()
    try:
        if part is not None:
            value, calls = [], [loads(arguments, maps)[part]]
            tick = time.perf_counter()
            run_chunk(
                function,
                lambda: functions.get(function) or _load(function, maps, functions),
                lambda: calls.pop() if calls else loads(arguments, maps)[part],
                value,
                _between_calls,
            )
        else:
            call = functions.get(function) or _load(function, maps, functions)
            args, kwargs = loads(arguments, maps)
            tick = time.perf_counter()
            value = call_noting(call, args, kwargs)
    except BaseException as raised:
        if isinstance(raised, ValueError | TypeError) and _has_data(function, arguments) and _is_read_only(raised):
            raised.add_note(READ_ONLY)
        note_manager(raised, str(_worker))
        error, trace = raised, traceback.format_exc()
        if isinstance(raised, SystemExit) and not raised.code:  # the driver would end, as if all was well
            error = TaskError("a task called sys.exit(), which ends a script: let the function return instead")
    seconds = time.perf_counter() - tick
    return _pack_outcome(value, error, (trace, started, seconds, _peak(), "", _records(caught)))


def _between_calls() -> None:
    if _streams is not None:
        _streams.mend_quickly()


def _is_read_only(error: BaseException) -> bool:
    """Tell whether numpy, Cython or a memoryview refused to write."""
    said = r"\b(destination|array|base|buffer) is read-only|read-only memory|set WRITEABLE flag"
    return re.search(said, str(error)) is not None


def _has_data(*parts: Packed) -> bool:
    return any(isinstance(part, Payload) for part in parts)


def _load(function: Packed, maps: Maps, functions: dict[Packed, Any]) -> Any:
    """Unpickle a function; one that lives in a module is kept for the rest of its frame.

    Any other may hold state, in an attribute or a captured variable: each task gets its own, so that
    results do not depend on which tasks happened to travel together.
    """
    call = loads(function, maps)
    plain = call.function if isinstance(call, Nested) else call
    if isinstance(plain, FunctionType | BuiltinFunctionType):
        module = sys.modules.get(getattr(plain, "__module__", None) or "")
        if getattr(module, plain.__name__, None) is plain:
            functions[function] = call
    return call


def _peak() -> int:
    """Return the most memory that this process has ever had, in MB (getrusage(2) counts kB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def _records(caught: list[warnings.WarningMessage]) -> bytes:
    """Return the pickle of the warnings since the last time; apart, for the driver may not have their class."""
    if not caught:
        return b""
    try:
        return dumps([(str(w.message), w.category, w.filename, w.lineno) for w in caught])
    except Exception:
        return b""
    finally:
        caught.clear()


def _pack_outcome(value: Any, error: BaseException | None, about: tuple[Any, ...]) -> bytes:
    try:
        return dumps_parts(value, None if error is None else pack_error(error), *about)
    except Exception as unpicklable:
        kind = f"{type(value).__module__}.{type(value).__qualname__}"
        lost = TaskError(f"the result, a {kind}, cannot travel back: {unpicklable}. Return plain data instead.")
        return dumps_parts(None, pack_error(lost), *about)
