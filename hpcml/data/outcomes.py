"""Outcomes of calls: packed on a worker, unpacked in the driver, read again from a journal.

Several outcomes are returned in one message: a frame, whose head says what they have in common.
"""

import pickle
from collections.abc import Iterator
from typing import Any, NamedTuple
from warnings import WarningMessage

from hpcml.data.callbacks import with_messages
from hpcml.data.classes import FindClass, loads_known
from hpcml.data.exceptions import attach_cause
from hpcml.data.pickling import dumps, dumps_parts, pack_error
from hpcml.data.values import PackedValues, Values, too_large, unpicklable
from hpcml.errors import TaskError

__all__ = [
    "CaughtWarning",
    "Execution",
    "Head",
    "Outcome",
    "RemoteTraceback",
    "join_outcomes",
    "pack_again",
    "pack_outcome",
    "pack_warnings",
    "read_head",
    "unpack_outcome",
    "unpack_outcomes",
]


class RemoteTraceback(Exception):
    """Cause of an exception that a task raised on a worker: the worker, and the traceback there."""

    def __init__(self, worker: str, text: str) -> None:
        super().__init__(worker, text)
        self.worker = worker
        self.text = text

    def __str__(self) -> str:
        return f"on {self.worker}\n{self.text}"


class CaughtWarning(NamedTuple):
    """A warning that a task has raised on its worker."""

    message: str
    category: type[Warning]
    filename: str
    line: int


class Outcome(NamedTuple):
    """Value or error of a call on its worker.

    ``started`` is seconds since the epoch, ``seconds`` the wall time of the call alone, ``peak`` the most memory
    that its worker has ever had, in MB, ``modules`` those of the user that its worker had imported
    (`hpcml.data.imported_modules.imported_modules`).
    """

    value: Any = None
    error: BaseException | None = None
    worker: str = ""
    started: float = 0.0
    seconds: float = 0.0
    peak: int = 0
    warnings: tuple[CaughtWarning, ...] = ()
    modules: bytes = b""


class Execution(NamedTuple):
    """Execution of a call on its worker; see `Outcome` for the fields of the same name.

    Parameters
    ----------
    trace
        Traceback of its error.
    warnings
        What `pack_warnings` returns.
    """

    started: float
    seconds: float
    peak: int
    trace: str = ""
    warnings: bytes = b""


# ┌─────────────────────────────────────────────────────────────────────────────────────────────────────────────┐
# │ Format: journals hold packed outcomes, and later versions read them. Who changes a field here, or moves a   │
# │ class whose objects are in them (`hpcml.data.values.PackedValues`, `hpcml.data.columns`), raises the number │
# │ in the TITLE of hpcml/journal/records.py, and says so in CHANGELOG.                                         │
# └─────────────────────────────────────────────────────────────────────────────────────────────────────────────┘


class _Fields(NamedTuple):
    """Fields of a packed outcome, which is the pickle of a plain tuple of them."""

    value: Any
    error: bytes | None  # what `pack_error` returns
    trace: str
    started: float
    seconds: float
    peak: int
    unused: str  # always ""
    warnings: bytes


def _fields(value: Any, error: bytes | None, execution: Execution) -> _Fields:
    started, seconds, peak, trace, caught = execution
    return _Fields(value, error, trace, started, seconds, peak, "", caught)


def pack_outcome(value: Any, error: BaseException | None, execution: Execution, limit: int) -> bytes:
    """Return the value or error of a call, packed; a value that cannot be sent back becomes an error.

    Parameters
    ----------
    value
        Of a chunk: its `Values`, each of which was packed before.
    limit
        The most bytes that an outcome may have.
    """
    packed_error = None if error is None else pack_error(error)
    if isinstance(value, Values):
        fields = _fields(with_messages(value.packed()), packed_error, execution)
        return pickle.dumps(tuple(fields), pickle.HIGHEST_PROTOCOL)
    try:
        packed = dumps_parts(*_fields(with_messages(value), packed_error, execution))
    except Exception as bad:
        return dumps_parts(*_fields(None, pack_error(unpicklable(value, bad)), execution))
    if len(packed) <= limit:
        return packed
    return dumps_parts(*_fields(None, pack_error(too_large(len(packed), limit)), execution))


def pack_again(outcome: Outcome) -> bytes:
    """Return a packed outcome with the value and the times of `outcome`."""
    execution = Execution(outcome.started, outcome.seconds, outcome.peak)
    return dumps_parts(*_fields(outcome.value, None, execution))


def unpack_outcome(
    packed: bytes | memoryview,
    worker: str,
    modules: bytes = b"",
    find: FindClass = lambda number: None,
) -> Outcome:
    """Return an outcome that `worker` has packed; an error has a `RemoteTraceback` as its cause.

    See `Outcome` for `modules`, and `hpcml.data.classes.loads_known` for `find`.
    """
    try:
        fields = _Fields(*loads_known(packed, find))
    except BaseException as unreadable:  # a __setstate__ of the user's may raise anything
        return Outcome(None, _unreadable(unreadable), worker)
    value = fields.value
    error: BaseException | None = None
    if isinstance(value, PackedValues):
        value, unreadable_value = value.load(find)
        error = None if unreadable_value is None else _unreadable(unreadable_value)
    if fields.error is not None and error is None:
        error = _unpack_error(fields.error, worker, fields.trace)
    caught = _unpack_warnings(fields.warnings)
    return Outcome(value, error, worker, fields.started, fields.seconds, fields.peak, caught, modules)


def _unpack_error(packed: bytes, worker: str, trace: str) -> BaseException:
    try:
        error: BaseException = loads_known(packed)
        attach_cause(error, RemoteTraceback(worker, trace))
    except BaseException as unreadable:
        return _unreadable(unreadable)
    return error


def _unreadable(error: BaseException) -> TaskError:
    return TaskError(f"the outcome of a task cannot be unpickled in the driver: {error!r}")


def pack_warnings(caught: list[WarningMessage]) -> bytes:
    """Pickle the warnings that were caught; apart from the outcome, for the driver may not have their class."""
    if not caught:
        return b""
    try:
        return dumps([(str(one.message), one.category, one.filename, one.lineno) for one in caught])
    except Exception:
        return b""


def _unpack_warnings(packed: bytes) -> tuple[CaughtWarning, ...]:
    try:
        return tuple(CaughtWarning(*each) for each in pickle.loads(packed)) if packed else ()
    except Exception:
        return ()


class Head(NamedTuple):
    """Head of a frame of outcomes.

    ``printed`` is the output of its calls to standard output and error. The owner of the worker's streams has read
    earlier output, in ``readings`` readings up to now. For ``modules`` see `Outcome`.
    """

    worker: str
    lengths: list[int]
    modules: bytes = b""
    printed: tuple[bytes, bytes] = (b"", b"")
    readings: int = 0


def join_outcomes(
    worker: str,
    outcomes: list[bytes],
    modules: bytes = b"",
    printed: tuple[bytes, bytes] = (b"", b""),
    readings: int = 0,
) -> bytes:
    """Join packed outcomes into the bytes of one frame, which is sent back; see `Head`."""
    fields = Head(worker, [len(packed) for packed in outcomes], modules, printed, readings)
    head = pickle.dumps(tuple(fields), pickle.HIGHEST_PROTOCOL)
    return b"".join((len(head).to_bytes(8, "little"), head, *outcomes))


def read_head(frame: bytes) -> Head:
    """Return the head of a frame of outcomes."""
    return Head(*pickle.loads(memoryview(frame)[8 : 8 + int.from_bytes(frame[:8], "little")]))


def unpack_outcomes(frame: bytes) -> Iterator[tuple[memoryview, Outcome]]:
    """Yield the outcomes of a frame's calls, in order: each as it is in the frame, and unpacked."""
    begin = 8 + int.from_bytes(frame[:8], "little")
    head = read_head(frame)
    for length in head.lengths:
        packed = memoryview(frame)[begin : begin + length]
        yield packed, unpack_outcome(packed, head.worker, head.modules)
        begin += length
