"""Many short calls of one function that travel as one: how many, and how a worker runs them."""

import contextlib
import math
import pickle
import time
from collections.abc import Callable, Iterator
from typing import Any

import cloudpickle

from hpcml.individuals import note_genome
from hpcml.payload import Packed
from hpcml.task import Nested

__all__ = ["CHUNK_SECONDS", "call_noting", "chunk_length", "chunk_lengths", "run_chunk", "snapshot"]

CHUNK_SECONDS = 0.05  # of joblib's batches, which it sizes itself: a quarter of a frame
LONGEST_CHUNK = 10_000
MESSAGE_SECONDS = 0.002  # that the driver is busy with a message and its answer
SMALL = 1 << 16  # bytes
AT_ONCE = 0.5  # seconds; the rest of a chunk that lasts longer than was thought is given to others

_fresh: dict[int, bytes | None] = {}  # functions before their calls, by their pickles' hash; None: calls change it


def chunk_length(seconds: float | None, waiting: int, longest: float = CHUNK_SECONDS) -> int:
    """Return how many calls of `seconds` each (None: not known), of those `waiting`, should travel as one.

    At most half of them, and what takes `longest` seconds, but so many that they are worth a message.

    Examples
    --------
    >>> from hpcml.chunks import chunk_length
    >>> chunk_length(None, 1000), chunk_length(1e-2, 1000), chunk_length(1e-3, 7)
    (1, 5, 4)
    """
    if seconds is None or seconds > longest / 2:
        return 1
    seconds = max(seconds, 1e-9)
    half = math.ceil(waiting / 2)
    length = min(int(longest / seconds), LONGEST_CHUNK, max(half, int(2 * MESSAGE_SECONDS / seconds)))
    return max(1, min(length, waiting))


def chunk_lengths(seconds: float | None, waiting: int, slots: int, longest: float) -> Iterator[int]:
    """Yield how many calls each message should hold, for all that are `waiting`, to be done by `slots`.

    Round by round each slot gets half of its share (factoring: Hummel, Schonberg and Flynn 1992,
    doi:10.1145/135226.135232), until the driver could not send the halves as fast as they are done: then the
    whole. Nothing that takes more than `longest` seconds, and no more slots than messages are worth.

    Examples
    --------
    >>> from hpcml.chunks import chunk_lengths
    >>> list(chunk_lengths(0.003, 100, slots=4, longest=0.2))
    [13, 13, 13, 13, 6, 6, 6, 6, 3, 3, 3, 3, 3, 3, 3, 3]
    >>> list(chunk_lengths(1e-5, 600, slots=12, longest=0.2))
    [300, 300]
    """
    seconds = longest if seconds is None else max(seconds, 1e-9)
    most = max(1, min(int(longest / seconds), LONGEST_CHUNK))
    slots = max(1, min(slots, math.ceil(math.sqrt(waiting * seconds / MESSAGE_SECONDS))))
    while waiting > 0:
        share = math.ceil(waiting / slots)
        half = math.ceil(share / 2)
        length = min(half if half * seconds >= slots * MESSAGE_SECONDS else share, most)
        for _ in range(min(slots, math.ceil(waiting / length))):
            yield min(length, waiting)
            waiting -= length


def call_noting(call: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
    """Call a function; an exception says which individual it was about."""
    try:
        return call(*args, **kwargs)
    except Exception as error:
        note_genome(error, args)
        raise


def run_chunk(
    packed: Packed,
    load: Callable[[], Any],
    load_calls: Callable[[], list[Any]],
    values: list[Any],
    between: Callable[[], None] = lambda: None,
) -> None:
    """Append what each call returns to `values`, up to the first that raises, or until it takes too long.

    `load` gives the function that is `packed`, `load_calls` the calls. A function that calls have changed is
    loaded again for each: results must not depend on which calls happened to travel together. `between` is called
    after each call that returns.
    """
    until = time.perf_counter() + AT_ONCE
    key, call, calls = hash(packed), load(), load_calls()
    if len(calls) > 1 and key not in _fresh:
        _fresh[key] = snapshot(call)
        _run(call, calls[:1], values, until, between)
        if snapshot(call) != _fresh[key]:
            _fresh[key] = None
    fresh, error = _fresh.get(key, b""), None
    if fresh is not None:
        try:
            _run(call, calls[len(values) :], values, until, between)
        except BaseException as raised:
            error = raised
        if len(calls) < 2 or len(fresh) > SMALL or snapshot(call) == fresh:
            if error is not None:
                raise error
            return
        _fresh[key] = None  # what came after the change depends on it
        values.clear()
        calls = load_calls()
    for one in calls[len(values) :]:
        if values and time.perf_counter() > until:
            return
        _run(load(), [one], values, until, between)


def _run(call: Any, calls: list[Any], values: list[Any], until: float, between: Callable[[], None]) -> None:
    function = call.function if isinstance(call, Nested) else call
    with call.settings() if isinstance(call, Nested) else contextlib.nullcontext():
        for args, kwargs in calls:
            if values and time.perf_counter() > until:
                return
            values.append(call_noting(function, args, kwargs))
            between()


def snapshot(function: Any) -> bytes | None:
    """Return what a function is just now, without its large arrays; None: that cannot be told."""
    try:
        function = function.function if isinstance(function, Nested) else function
        found: bytes = cloudpickle.dumps(function, pickle.HIGHEST_PROTOCOL, buffer_callback=_is_small)
    except Exception:
        return None
    return found


def _is_small(buffer: pickle.PickleBuffer) -> bool:
    return buffer.raw().nbytes < SMALL
