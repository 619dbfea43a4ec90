"""A task on its worker: run, timed, what it prints and warns of caught, and its outcome packed."""

import contextlib
import io
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

from hpcml.arguments import Arguments, large_parts
from hpcml.broadcast import keep_only
from hpcml.callbacks import with_messages
from hpcml.chunk_runner import Function, call_noting, run_chunk
from hpcml.definitions import is_named
from hpcml.errors import TaskError
from hpcml.filemaps import flush_maps
from hpcml.imported import imported_modules
from hpcml.individuals import rebind_classes
from hpcml.loading import Maps, loads
from hpcml.packed import Packed, Referring
from hpcml.pickling import dumps, dumps_parts, pack_error
from hpcml.task import Nested, join_outcomes
from hpcml.values import Values, too_large, unpicklable

__all__ = ["Worker", "become_worker", "current_worker", "run_frame"]


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
    rebind_classes()
    _worker = Worker(host, slot)


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

_output = io.StringIO()  # one for the life of a worker: logging handlers keep the stream they first saw


def run_frame(frame: bytes) -> bytes:
    """Run all calls of a frame, one after the other, and return their packed outcomes."""
    began = time.time()
    path: list[str]
    calls: list[tuple[Packed, Packed | Referring | Arguments]]
    path, handles, limit, calls = pickle.loads(frame)
    _adopt_path(path)
    keep_only(handles)
    worker = str(_worker or Worker(socket.gethostname(), os.getpid()))
    functions: dict[Packed, Function] = {}
    with (
        contextlib.redirect_stdout(_output),
        contextlib.redirect_stderr(_output),
        warnings.catch_warnings(record=True) as caught,
    ):
        outcomes = []
        for function, arguments in calls:
            outcomes.append(_run(function, arguments, functions, limit, caught))
            sys.stdout = sys.stderr = _output  # whatever the task has made of them
    return join_outcomes(worker, outcomes, imported_modules(began))


_adopted_path: list[str] = []


def _adopt_path(path: list[str]) -> None:
    """Put the driver's ``sys.path`` before this process' own."""
    global _adopted_path  # noqa: PLW0603  a frame is compared with the one before
    if path != _adopted_path:
        _adopted_path = path
        sys.path[:] = [*path, *(entry for entry in sys.path if entry not in path)]


def _run(
    packed: Packed,
    arguments: Packed | Referring | Arguments,
    functions: dict[Packed, Function],
    limit: int,
    caught: list[warnings.WarningMessage],
) -> bytes:
    """Run one packed call, or the calls of a chunk; whatever happens, a packed outcome is returned."""
    value: Any = None
    error, trace = None, ""
    started, tick = time.time(), time.perf_counter()
    try:
        function = functions.get(packed) or _load(packed, functions)
        if isinstance(arguments, Packed | Referring):
            args, kwargs = loads(arguments, Maps(), function.objects)
            tick = time.perf_counter()
            value = call_noting(function.called, args, kwargs)
        else:
            value = Values(limit)
            tick = time.perf_counter()
            run_chunk(function, arguments, value)
    except BaseException as raised:
        has_data = large_parts(packed) or large_parts(arguments)
        if isinstance(raised, ValueError | TypeError) and has_data and _is_read_only(raised):
            raised.add_note(READ_ONLY)
        error, trace = raised, traceback.format_exc()
        if isinstance(raised, SystemExit) and not raised.code:  # the driver would end, as if all was well
            error = TaskError("a task called sys.exit(), which ends a script: let the function return instead")
    seconds = time.perf_counter() - tick
    flush_maps()
    about = (trace, started, seconds, _peak(), _printed(), _records(caught))
    return _pack_outcome(value, error, about, limit)


def _is_read_only(error: BaseException) -> bool:
    """Tell whether numpy, Cython or a memoryview refused to write."""
    said = r"\b(destination|array|base|buffer) is read-only|read-only memory|set WRITEABLE flag"
    return re.search(said, str(error)) is not None


def _load(packed: Packed, functions: dict[Packed, Function]) -> Function:
    """Unpickle a function; one that lives in a module is kept for the rest of its frame.

    Any other may hold state, in an attribute or a captured variable: each task gets its own, so that
    results do not depend on which tasks happened to travel together.
    """
    function = Function(packed)
    called = function.called
    plain = called.function if isinstance(called, Nested) else called
    if isinstance(plain, FunctionType | BuiltinFunctionType) and is_named(plain):
        functions[packed] = function
    return function


def _peak() -> int:
    """Return the most memory that this process has ever had, in MB (getrusage(2) counts kB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def _printed() -> str:
    """Return what was printed since the last time."""
    if not _output.tell():
        return ""
    text = _output.getvalue()
    _output.seek(0)
    _output.truncate()
    return text


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


def _pack_outcome(value: Any, error: BaseException | None, about: tuple[Any, ...], limit: int) -> bytes:
    if isinstance(value, Values):
        value, limit = value.packed(), sys.maxsize  # each was looked at
    try:
        packed = dumps_parts(with_messages(value), None if error is None else pack_error(error), *about)
    except Exception as bad:
        return dumps_parts(None, pack_error(unpicklable(value, bad)), *about)
    if len(packed) <= limit:
        return packed
    return dumps_parts(None, pack_error(too_large(len(packed), limit)), *about)
