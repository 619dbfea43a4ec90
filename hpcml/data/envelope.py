"""Envelope of a task: packed calls, and the frame in which they are sent to a worker.

A frame is one message: a pickled list of packed calls. Each call and each outcome (`hpcml.data.outcomes`) is
pickled on its own, so that one that cannot be unpickled spoils no other. Many short calls of one function are one
`Call`, a chunk, with one outcome: a list of their values. Arguments and values of a chunk are pickled apart, too.
"""

import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple, Protocol

from hpcml.data.arguments import Arguments, large_parts, size_of
from hpcml.data.broadcast import open_keys
from hpcml.data.outcomes import Outcome
from hpcml.data.packed import LargePart, Packed, Referring
from hpcml.data.preparation import Preparation
from hpcml.data.staging.store import DataReference
from hpcml.errors import HpcmlError, WorkerDied

__all__ = [
    "Call",
    "FrameContent",
    "RecordedOutcome",
    "TaskObserver",
    "WithJoblibSettings",
    "name_of",
    "pack_frame",
    "unpack_frame",
]


class Call(NamedTuple):  # a tuple, for there may be a million of them
    """A packed call.

    Parameters
    ----------
    function, arguments
        Pickles of the function and of ``(args, kwargs)``; apart, so that ``map`` pickles its function once. Of a
        chunk: the arguments of all its calls.
    name
        Name of the function in messages.
    group
        Calls of one group are sent together and are expected to last about equally long.
    width
        The most frames of the group that are in flight at once; None: no limit.
    key
        Its key in the journal; "" when it is not recorded.
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
        """Number of calls that it consists of."""
        return len(self.keys) or 1

    @property
    def nbytes(self) -> int:
        """Number of bytes that its arguments add to a message."""
        return size_of(self.arguments)

    @property
    def large_parts(self) -> list[LargePart]:
        """Placeholders for the large parts of its function and its arguments."""
        return [*large_parts(self.function), *large_parts(self.arguments)]

    @property
    def needs_staging(self) -> bool:
        """True while the call refers to content that is not yet on the nodes."""
        return any(isinstance(part, DataReference) and not part.content.is_staged for part in self.large_parts)


class RecordedOutcome(NamedTuple):
    """A call whose outcome an earlier session of the run has recorded; see `Call` for its group."""

    outcome: Outcome
    group: str


class TaskObserver(Protocol):
    """Observer of the calls of a dispatcher: records and shows their outcomes."""

    def finished(self, call: Call, outcome: Outcome, packed: bytes | memoryview) -> None:
        """Take the outcome of a call, also as the worker packed it; an exception raised here fails all calls."""

    def restored(self, known: RecordedOutcome) -> None:
        """Take a call whose outcome an earlier session has recorded."""

    def failed(self, call: Call, error: HpcmlError, worker: str, seconds: float) -> None:
        """Take a call that has ended its worker too often, or ran too long, after `seconds` on `worker`."""

    def running(self, tasks: Mapping[str, tuple[str, float] | None], waiting: int, left: float | None) -> None:
        """Take changes in what workers do.

        Parameters
        ----------
        tasks
            Of each worker with a change: the name of the call that runs there for a while already, and the time
            since when; None for a worker without one.
        waiting
            Number of calls that have not begun.
        left
            Seconds that are left for calls; None without a time limit.
        """

    def died(self, death: WorkerDied, calls: list[Call]) -> None:
        """Take the death of a worker, and the calls that were sent to it."""

    def printed(self, worker: str, stream: int, data: bytes, ended: bool) -> None:
        """Take prints of a worker's tasks: `stream` is 0 for standard output, 1 for standard error.

        With `ended` no more of the same line follows for now.
        """


def name_of(function: Callable[..., Any]) -> str:
    """Return the name of `function` in messages."""
    for wrapped in ("func", "func", "function"):  # functools.partial, of one; scikit-learn's delayed
        function = getattr(function, wrapped, function)
    name = getattr(function, "__qualname__", type(function).__qualname__)
    if name.endswith("<lambda>") and hasattr(function, "__code__"):  # there may be several
        name += f":{function.__code__.co_firstlineno}"
    return f"{getattr(function, '__module__', '?')}.{name}"


class WithJoblibSettings:
    """A function of a joblib.Parallel, which runs with joblib's settings for a Parallel within it.

    Parameters
    ----------
    backend, n_jobs
        Settings of a Parallel within the function.
    threads
        The most threads that its numerical libraries may start; None: as many as the slot has CPUs.
    preparation
        Initializer that the worker runs before, once.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        backend: Any,
        n_jobs: int | None,
        threads: int | None,
        preparation: Preparation | None = None,
    ) -> None:
        self.function = function
        self.backend = backend
        self.n_jobs = n_jobs
        self.threads = threads
        self.preparation = preparation

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with self.settings():
            return self.function(*args, **kwargs)

    @contextmanager
    def settings(self) -> Iterator[None]:
        """Set joblib's settings, for one call or many."""
        from joblib import parallel_config

        if self.preparation is not None:
            self.preparation.run_once()
        with ExitStack() as settings:
            settings.enter_context(parallel_config(backend=self.backend, n_jobs=self.n_jobs))
            if self.threads is not None:
                from threadpoolctl import threadpool_limits

                settings.enter_context(threadpool_limits(self.threads))
            yield


class FrameContent(NamedTuple):
    """Content of one frame, which is the pickle of a plain tuple of it.

    Parameters
    ----------
    script_state
        Directory, environment and ``sys.path`` of the script (`hpcml.data.process_state`).
    open_broadcasts
        Keys of the open broadcast handles: workers forget the values of all others.
    max_result_nbytes
        The most bytes of an outcome.
    calls
        Function and arguments of each call.
    """

    script_state: bytes
    open_broadcasts: tuple[str, ...]
    max_result_nbytes: int
    calls: list[tuple[Packed, Packed | Referring | Arguments]]


def pack_frame(calls: Iterable[Call], max_result_nbytes: int, script_state: bytes = b"") -> bytes:
    """Join packed calls into the bytes of one frame; equal functions are sent once (pickle's memo)."""
    packed = [(call.function, call.arguments) for call in calls]
    content = FrameContent(script_state, open_keys(), max_result_nbytes, packed)
    return pickle.dumps(tuple(content), pickle.HIGHEST_PROTOCOL)


def unpack_frame(frame: bytes) -> FrameContent:
    """Return the content of a frame; its calls are still packed."""
    return FrameContent(*pickle.loads(frame))
