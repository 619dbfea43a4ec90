"""Outcomes of calls: packed on its worker, unpacked in the driver; see `hpcml.data.envelope`."""

import pickle
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from hpcml.data.classes import loads_known
from hpcml.data.exceptions import attach
from hpcml.data.pickling import dumps_parts
from hpcml.data.values import PackedValues
from hpcml.errors import TaskError

__all__ = [
    "Head",
    "Outcome",
    "RemoteTraceback",
    "join_outcomes",
    "pack_again",
    "read_head",
    "unpack_outcome",
    "unpack_outcomes",
]


class RemoteTraceback(Exception):
    """The cause of an exception that a task raised on a worker: where, and the traceback there."""

    def __init__(self, worker: str, text: str) -> None:
        super().__init__(worker, text)
        self.worker = worker
        self.text = text

    def __str__(self) -> str:
        return f"on {self.worker}\n{self.text}"


class Outcome(NamedTuple):
    """Value or error of a call on its worker.

    ``seconds`` is the wall time of the call alone, ``peak`` the most memory that its worker has ever had, in MB,
    ``modules`` those of the user that its worker had imported (`hpcml.data.imported_modules.imported_modules`).
    """

    value: Any = None
    error: BaseException | None = None
    worker: str = ""
    started: float = 0.0
    seconds: float = 0.0
    peak: int = 0
    warnings: tuple[tuple[Any, ...], ...] = ()
    modules: bytes = b""


class Head(NamedTuple):
    """Head of a frame of outcomes.

    ``printed`` is what its calls have written to standard output and error; what the owner of the worker's streams
    has taken, in ``readings`` readings up to now, comes before that. For ``modules`` see `Outcome`.
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
    """Return the frame in which packed outcomes are sent back; see `Head`."""
    about = (worker, [len(packed) for packed in outcomes], modules, printed, readings)
    head = pickle.dumps(about, pickle.HIGHEST_PROTOCOL)
    return b"".join((len(head).to_bytes(8, "little"), head, *outcomes))


def read_head(frame: bytes) -> Head:
    """Return the head of a frame of outcomes."""
    return Head(*pickle.loads(memoryview(frame)[8 : 8 + int.from_bytes(frame[:8], "little")]))


def unpack_outcomes(frame: bytes) -> Iterator[tuple[memoryview, Outcome]]:
    """Yield the outcomes of a frame's calls, in order: each as it lies there, and unpacked."""
    begin = 8 + int.from_bytes(frame[:8], "little")
    head = read_head(frame)
    for length in head.lengths:
        packed = memoryview(frame)[begin : begin + length]
        yield packed, unpack_outcome(packed, head.worker, head.modules)
        begin += length


def unpack_outcome(
    packed: bytes | memoryview,
    worker: str,
    modules: bytes = b"",
    find: Callable[[str], type | None] = lambda number: None,
) -> Outcome:
    """Return an outcome that `worker` has packed; an error has a `RemoteTraceback` as its cause.

    See `Outcome` for `modules`, and `hpcml.data.classes.loads_known` for `find`.
    """
    try:
        value, packed_error, trace, started, seconds, peak, _, records = loads_known(packed, find)
    except BaseException as unreadable:  # a __setstate__ of the user's may raise anything
        return Outcome(None, _unreadable(unreadable), worker)
    error: BaseException | None = None
    if isinstance(value, PackedValues):
        value, unreadable_value = value.load(find)
        error = None if unreadable_value is None else _unreadable(unreadable_value)
    if packed_error is not None and error is None:
        error = _unpack_error(packed_error, worker, trace)
    return Outcome(value, error, worker, started, seconds, peak, _unpack_records(records), modules)


def _unpack_error(packed: bytes, worker: str, trace: str) -> BaseException:
    try:
        error = loads_known(packed)
        attach(error, RemoteTraceback(worker, trace))
    except BaseException as unreadable:
        return _unreadable(unreadable)
    found: BaseException = error
    return found


def _unreadable(error: BaseException) -> TaskError:
    return TaskError(f"the outcome of a task cannot be unpickled in the driver: {error!r}")


def pack_again(outcome: Outcome) -> bytes:
    """Return what `unpack_outcome` makes this of: a value and its times."""
    about = ("", outcome.started, outcome.seconds, outcome.peak, "", b"")
    return dumps_parts(outcome.value, None, *about)


def _unpack_records(packed: bytes) -> tuple[tuple[Any, ...], ...]:
    try:
        return tuple(pickle.loads(packed)) if packed else ()
    except Exception:
        return ()
