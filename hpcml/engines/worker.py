"""Runs tasks on a worker: each is timed, its warnings are caught, and its outcome is packed."""

import os
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

from hpcml.data.arguments import Arguments, large_parts
from hpcml.data.broadcast import keep_only
from hpcml.data.deap import rebind_classes
from hpcml.data.definitions import is_named
from hpcml.data.envelope import WithJoblibSettings, unpack_frame
from hpcml.data.file_maps import flush_maps
from hpcml.data.imported_modules import imported_modules
from hpcml.data.loading import loads_arguments
from hpcml.data.outcomes import Execution, join_outcomes, pack_outcome, pack_warnings
from hpcml.data.packed import Packed, Referring
from hpcml.data.process_state import adopt_script_state
from hpcml.data.values import Values
from hpcml.engines.chunk_runner import Function, call_with_note, run_chunk
from hpcml.engines.managers import note_manager
from hpcml.engines.streams import Streams
from hpcml.errors import HpcmlError, TaskError

__all__ = ["Worker", "become_worker", "current_worker", "leave_worker", "run_frame"]


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
    """Set the slot that this process fills, and its standard streams; engines call this once in each worker.

    The streams are those of its tasks from the first frame on: prints before that are the engine's.
    """
    global _worker, _streams  # noqa: PLW0603  one process is one worker
    rebind_classes()
    _worker = Worker(host, slot)
    _streams = streams


def leave_worker() -> None:
    """Undo `become_worker`, in a process that goes on as another."""
    global _worker, _streams  # noqa: PLW0603  one process is one worker
    _worker = _streams = None


def current_worker() -> Worker | None:
    """Return the worker that this process is, or None in a driver.

    Examples
    --------
    >>> from hpcml.engines.worker import current_worker
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
    began = time.time()
    content = unpack_frame(frame)
    worker = str(_worker or Worker(socket.gethostname(), os.getpid()))
    if _streams is not None:
        _streams.mend()
    refusal = adopt_script_state(content.script_state) if content.script_state else None
    keep_only(content.open_broadcasts)
    functions: dict[Packed, Function] = {}
    outcomes = []
    with warnings.catch_warnings(record=True) as caught:
        for function, arguments in content.calls:
            if refusal is not None:
                outcomes.append(_refused_outcome(refusal))
                continue
            outcomes.append(_run(function, arguments, functions, content.max_result_nbytes, caught))
            if _streams is not None:
                _streams.mend()
    modules = imported_modules(began)
    if _streams is None:
        return join_outcomes(worker, outcomes, modules)
    return join_outcomes(worker, outcomes, modules, _streams.take(), _streams.count())


def _refused_outcome(error: HpcmlError) -> bytes:
    """Return the outcome of a call that has not run."""
    return pack_outcome(None, error, Execution(time.time(), 0.0, _peak_memory()), sys.maxsize)


def _run(
    packed: Packed,
    arguments: Packed | Referring | Arguments,
    functions: dict[Packed, Function],
    limit: int,
    caught: list[warnings.WarningMessage],
) -> bytes:
    """Run one packed call, or the calls of a chunk; whatever happens, a packed outcome is returned."""
    value: Any = None
    error: BaseException | None = None
    trace = ""
    started = time.time()
    tick = time.perf_counter()
    try:
        function = functions.get(packed) or _load(packed, functions)
        if isinstance(arguments, Packed | Referring):
            args, kwargs = loads_arguments(arguments, function)
            tick = time.perf_counter()
            value = call_with_note(function.called, args, kwargs)
        else:
            value = Values(limit)
            tick = time.perf_counter()
            run_chunk(function, arguments, value, None if _streams is None else _streams.mend_quickly)
    except BaseException as raised:
        has_data = large_parts(packed) or large_parts(arguments)
        if isinstance(raised, ValueError | TypeError) and has_data and _is_read_only(raised):
            raised.add_note(READ_ONLY)
        note_manager(raised, str(_worker))
        error = raised
        trace = traceback.format_exc()
        if isinstance(raised, SystemExit) and not raised.code:  # the driver would end, as if all was well
            error = TaskError("a task called sys.exit(), which ends a script: let the function return instead")
    seconds = time.perf_counter() - tick
    flush_maps()
    execution = Execution(started, seconds, _peak_memory(), trace, pack_warnings(caught))
    caught.clear()
    return pack_outcome(value, error, execution, limit)


def _is_read_only(error: BaseException) -> bool:
    """Return whether numpy, Cython or a memoryview refused to write."""
    said = r"\b(destination|array|base|buffer) is read-only|read-only memory|set WRITEABLE flag"
    return re.search(said, str(error)) is not None


def _load(packed: Packed, functions: dict[Packed, Function]) -> Function:
    """Unpickle a function; one with a name in a module is kept for the rest of its frame.

    Any other may hold state, in an attribute or a captured variable: each task gets its own, so that
    results do not depend on which tasks happened to be sent together.
    """
    function = Function(packed)
    called = function.called
    plain = called.function if isinstance(called, WithJoblibSettings) else called
    if isinstance(plain, FunctionType | BuiltinFunctionType) and is_named(plain):
        functions[packed] = function
    return function


def _peak_memory() -> int:
    """Return the peak memory of this process, in MB (getrusage(2) counts kB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
