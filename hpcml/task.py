"""The envelope around a task: how a call travels to a worker, runs there, and how its outcome returns.

A frame is what travels in one message: a pickled list of packed calls. Each call and each outcome is
pickled on its own, so that one that cannot be unpickled spoils no other. Many short calls of one function are
one `Call`, a chunk, with one outcome: a list of what they returned.
"""

import pickle
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple, Protocol

from hpcml.broadcast import open_keys
from hpcml.errors import HpcmlError, TaskError, WorkerDied
from hpcml.payload import Packed
from hpcml.pickling import Rebuilt, dumps_parts

__all__ = [
    "Call",
    "Head",
    "Known",
    "Nested",
    "Outcome",
    "RemoteTraceback",
    "Watcher",
    "join_outcomes",
    "name_of",
    "pack_again",
    "pack_frame",
    "read_head",
    "split",
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
        Pickles of the function and of ``(args, kwargs)``; apart, so that ``map`` pickles its function once.
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
    first
        Of a chunk: its arguments are a list of ``(args, kwargs)``, and its calls begin at this one.
    """

    function: Packed
    arguments: Packed
    name: str
    group: str
    width: int | None = None
    key: str = ""
    keys: tuple[str, ...] = ()
    first: int = 0

    @property
    def length(self) -> int:
        """How many calls it stands for."""
        return len(self.keys) or 1


def split(chunk: Call, length: int, start: int = 0) -> list[Call]:
    """Return the calls of a chunk from `start` on, as chunks of up to so many.

    Examples
    --------
    >>> from hpcml.task import Call, split
    >>> chunk = Call(b"f", b"arguments", "f", "group", keys=("a", "b", "c", "d"))
    >>> [(part.first, part.keys) for part in split(chunk, 2, start=1)]
    [(1, ('b', 'c')), (3, ('d',))]
    """
    places = range(start, len(chunk.keys), length)
    return [chunk._replace(first=chunk.first + n, keys=chunk.keys[n : n + length]) for n in places]


class Outcome(NamedTuple):
    """What became of a call on its worker.

    ``seconds`` is the wall time of the call alone, ``peak`` the most memory that its worker has ever had, in MB.
    """

    value: Any = None
    error: BaseException | None = None
    worker: str = ""
    started: float = 0.0
    seconds: float = 0.0
    peak: int = 0
    warnings: tuple[tuple[Any, ...], ...] = ()


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

    def printed(self, worker: str, stream: int, data: bytes, ended: bool) -> None:
        """Take what a worker's tasks have printed: `stream` is 0 for standard output, 1 for standard error.

        With `ended` nothing follows for now that belongs to the same line.
        """


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
    """

    def __init__(
        self, function: Callable[..., Any], backend: Any, n_jobs: int | None, threads: int | None
    ) -> None:
        self.function, self.backend, self.n_jobs, self.threads = function, backend, n_jobs, threads

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with self.settings():
            return self.function(*args, **kwargs)

    @contextmanager
    def settings(self) -> Iterator[None]:
        """Have joblib's settings hold, for one call or many."""
        from joblib import parallel_config

        with ExitStack() as settings:
            settings.enter_context(parallel_config(backend=self.backend, n_jobs=self.n_jobs))
            if self.threads is not None:
                from threadpoolctl import threadpool_limits

                settings.enter_context(threadpool_limits(self.threads))
            yield


def pack_frame(calls: Iterable[Call], limit: int, surroundings: bytes = b"") -> bytes:
    """Join packed calls into the bytes of one frame; equal functions travel once (pickle's memo).

    The script's directory, environment and ``sys.path`` are sent along (`hpcml.surroundings`), the keys of its
    open broadcast handles, so that workers forget the others, and the most bytes of a result.
    """
    packed = [(call.function, call.arguments, call.first, len(call.keys)) for call in calls]
    return pickle.dumps((surroundings, open_keys(), limit, packed), pickle.HIGHEST_PROTOCOL)


class Head(NamedTuple):
    """What precedes the outcomes of a frame.

    ``printed`` is what its calls have written to standard output and error; what the owner of the worker's streams
    has taken, in ``readings`` readings up to now, comes before that.
    """

    worker: str
    lengths: list[int]
    printed: tuple[bytes, bytes] = (b"", b"")
    readings: int = 0


def join_outcomes(
    worker: str, outcomes: list[bytes], printed: tuple[bytes, bytes] = (b"", b""), readings: int = 0
) -> bytes:
    """Return the frame in which packed outcomes are sent back; see `Head`."""
    about = (worker, [len(packed) for packed in outcomes], printed, readings)
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
        yield packed, unpack_outcome(packed, head.worker)
        begin += length


def unpack_outcome(packed: bytes | memoryview, worker: str) -> Outcome:
    """Return an outcome that `worker` has packed; an error has a `RemoteTraceback` as its cause."""
    try:
        value, packed_error, trace, started, seconds, peak, _, records = pickle.loads(packed)
        error = None if packed_error is None else pickle.loads(packed_error)
        if isinstance(error, Rebuilt):
            error = error.build()
        if error is not None:  # past the class's own __setattr__: it may be a frozen dataclass
            BaseException.__setattr__(error, "__cause__", RemoteTraceback(worker, trace))
    except BaseException as unreadable:  # a __setstate__ of the user's may raise anything
        lost = TaskError(f"the outcome of a task cannot be unpickled in the driver: {unreadable!r}")
        return Outcome(None, lost, worker)
    return Outcome(value, error, worker, started, seconds, peak, _unpack_records(records))


def pack_again(outcome: Outcome) -> bytes:
    """Return what `unpack_outcome` makes this of: a value and its times."""
    about = ("", outcome.started, outcome.seconds, outcome.peak, "", b"")
    return dumps_parts(outcome.value, None, *about)


def _unpack_records(packed: bytes) -> tuple[tuple[Any, ...], ...]:
    try:
        return tuple(pickle.loads(packed)) if packed else ()
    except Exception:
        return ()
