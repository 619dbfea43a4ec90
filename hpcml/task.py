"""The envelope around a task: how a call travels to a worker, runs there, and how its outcome returns.

A frame is what travels in one message: a pickled list of packed calls. Each call and each outcome is
pickled on its own, so that one that cannot be unpickled spoils no other. Many short calls of one function are
one `Call`, a chunk, with one outcome: a list of what they returned. Arguments and values of a chunk are apart too.
"""

import pickle
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple, Protocol

from hpcml.arguments import Arguments, large_parts, size_of
from hpcml.broadcast import open_keys
from hpcml.classes import loads_known
from hpcml.errors import HpcmlError, TaskError, WorkerDied
from hpcml.packed import Packed, Referring
from hpcml.pickling import dumps_parts
from hpcml.preparation import Preparation
from hpcml.raised import attach
from hpcml.values import PackedValues

__all__ = [
    "Call",
    "Known",
    "Nested",
    "Outcome",
    "RemoteTraceback",
    "Watcher",
    "join_outcomes",
    "name_of",
    "pack_again",
    "pack_frame",
    "unpack_outcome",
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
        Pickles of the function and of ``(args, kwargs)``; apart, so that ``map`` pickles its function once. Of a
        chunk: the arguments of all its calls.
    name
        What messages call it.
    group
        Calls of one group travel together and are taken to last about equally long.
    width
        At most so many frames of the group are in flight at once; None: as many as there is room for.
    key
        What the journal knows it by; "" when it is not recorded.
    keys
        Of a chunk: the key of each of its calls.
    """

    function: Packed
    arguments: Packed | Referring | Arguments
    name: str
    group: str
    width: int | None = None
    key: str = ""
    keys: tuple[str, ...] = ()

    @property
    def length(self) -> int:
        """How many calls it stands for."""
        return len(self.keys) or 1

    @property
    def nbytes(self) -> int:
        """How many bytes its arguments add to a message."""
        return size_of(self.arguments)

    @property
    def large_parts(self) -> list[Any]:
        """Stand-ins for the large parts of its function and its arguments."""
        return [*large_parts(self.function), *large_parts(self.arguments)]


class Outcome(NamedTuple):
    """What became of a call on its worker.

    ``seconds`` is the wall time of the call alone, ``peak`` the most memory that its worker has ever had, in MB,
    ``modules`` those of the user that its worker had imported (`hpcml.imported.imported_modules`).
    """

    value: Any = None
    error: BaseException | None = None
    worker: str = ""
    started: float = 0.0
    seconds: float = 0.0
    peak: int = 0
    output: str = ""
    warnings: tuple[tuple[Any, ...], ...] = ()
    modules: bytes = b""


class Known(NamedTuple):
    """A call whose outcome is known from an earlier life of the run; see `Call` for its group."""

    outcome: Outcome
    group: str


class Watcher(Protocol):
    """Hears of what becomes of calls."""

    def finished(self, call: Call, outcome: Outcome, packed: bytes | memoryview) -> None:
        """Take the outcome of a call, as the worker packed it too; what this raises fails all calls."""

    def recalled(self, known: Known) -> None:
        """Take a call whose outcome is known from an earlier life."""

    def failed(self, call: Call, error: HpcmlError) -> None:
        """Take a call that has ended its worker too often, or ran too long."""

    def died(self, death: WorkerDied, calls: list[Call]) -> None:
        """Take the death of a worker, and what it had been given to do."""


def name_of(function: Callable[..., Any]) -> str:
    """Return what messages call `function`."""
    for wrapped in ("func", "func", "function"):  # functools.partial, of one; scikit-learn's delayed
        function = getattr(function, wrapped, function)
    name = getattr(function, "__qualname__", type(function).__qualname__)
    if name.endswith("<lambda>") and hasattr(function, "__code__"):  # there may be several
        name += f":{function.__code__.co_firstlineno}"
    return f"{getattr(function, '__module__', '?')}.{name}"


class Nested:
    """A function that joblib gave: it runs with joblib's settings for what is nested in it.

    Parameters
    ----------
    backend, n_jobs
        What a Parallel within the function uses.
    threads
        The most threads that its numerical libraries may start; None: as many as the slot has CPUs.
    preparation
        What its worker does first, once.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        backend: Any,
        n_jobs: int | None,
        threads: int | None,
        preparation: Preparation | None = None,
    ) -> None:
        self.function, self.backend, self.n_jobs, self.threads = function, backend, n_jobs, threads
        self.preparation = preparation

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with self.settings():
            return self.function(*args, **kwargs)

    @contextmanager
    def settings(self) -> Iterator[None]:
        """Have joblib's settings hold, for one call or many."""
        from joblib import parallel_config

        if self.preparation is not None:
            self.preparation.happen()
        with ExitStack() as settings:
            settings.enter_context(parallel_config(backend=self.backend, n_jobs=self.n_jobs))
            if self.threads is not None:
                from threadpoolctl import threadpool_limits

                settings.enter_context(threadpool_limits(self.threads))
            yield


def pack_frame(calls: Iterable[Call], limit: int) -> bytes:
    """Join packed calls into the bytes of one frame; equal functions travel once (pickle's memo).

    This process' ``sys.path`` travels along, so that workers find the modules that the script has found,
    the keys of its open broadcast handles, so that they forget the others, and the most bytes of a result.
    """
    packed = [(call.function, call.arguments) for call in calls]
    return pickle.dumps((sys.path, open_keys(), limit, packed), pickle.HIGHEST_PROTOCOL)


def join_outcomes(worker: str, outcomes: list[bytes], modules: bytes = b"") -> bytes:
    """Return the frame in which packed outcomes are sent back; for `modules` see `Outcome`."""
    head = pickle.dumps((worker, [len(packed) for packed in outcomes], modules), pickle.HIGHEST_PROTOCOL)
    return b"".join((len(head).to_bytes(8, "little"), head, *outcomes))


def unpack_outcomes(frame: bytes) -> Iterator[tuple[memoryview, Outcome]]:
    """Yield the outcomes of a frame's calls, in order: each as it lies there, and unpacked."""
    begin = 8 + int.from_bytes(frame[:8], "little")
    worker, lengths, modules = pickle.loads(frame[8:begin])
    for length in lengths:
        packed = memoryview(frame)[begin : begin + length]
        yield packed, unpack_outcome(packed, worker, modules)
        begin += length


def unpack_outcome(
    packed: bytes | memoryview,
    worker: str,
    modules: bytes = b"",
    find: Callable[[str], type | None] = lambda number: None,
) -> Outcome:
    """Return an outcome that `worker` has packed; an error has a `RemoteTraceback` as its cause.

    See `Outcome` for `modules`, and `hpcml.classes.loads_known` for `find`.
    """
    try:
        value, packed_error, trace, started, seconds, peak, printed, records = loads_known(packed, find)
    except BaseException as unreadable:  # a __setstate__ of the user's may raise anything
        return Outcome(None, _unreadable(unreadable), worker)
    error: BaseException | None = None
    if isinstance(value, PackedValues):
        value, unreadable_value = value.load(find)
        error = None if unreadable_value is None else _unreadable(unreadable_value)
    if packed_error is not None and error is None:
        error = _unpack_error(packed_error, worker, trace)
    return Outcome(value, error, worker, started, seconds, peak, printed, _unpack_records(records), modules)


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
