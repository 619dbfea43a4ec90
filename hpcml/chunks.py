"""Many short calls of one function that travel as one: how many, and how a worker runs them."""

import contextlib
import math
import pickle
import time
from collections.abc import Callable
from typing import Any

import cloudpickle

from hpcml.individuals import note_genome
from hpcml.payload import Packed
from hpcml.task import Nested

__all__ = ["CHUNK_SECONDS", "call_noting", "chunk_length", "run_chunk"]

CHUNK_SECONDS = 0.05  # of joblib's batches, which it sizes itself: a quarter of a frame
LONGEST_CHUNK = 10_000
WORTH_SENDING = 0.005  # what a message costs
SMALL = 1 << 16  # bytes
AT_ONCE = 0.5  # seconds; the rest of a chunk that lasts longer than was thought is given to others

_steady: dict[int, bool] = {}  # whether a function, by the hash of its pickle, is after a call what it was before


def chunk_length(seconds: float | None, waiting: int, slots: int = 1, longest: float = CHUNK_SECONDS) -> int:
    """Return how many calls of `seconds` each (None: not known) should travel as one.

    At most a share of what is `waiting`, so that no slot waits for another, and what takes `longest` seconds, but
    so many that they are worth a message.

    Examples
    --------
    >>> from hpcml.chunks import chunk_length
    >>> chunk_length(None, 1000), chunk_length(1e-3, 1000, slots=12), chunk_length(1e-5, 1000, slots=12)
    (1, 42, 499)
    """
    if seconds is None or seconds > longest / 2:
        return 1
    seconds = max(seconds, 1e-9)
    share = math.ceil(waiting / (2 * slots))
    length = min(int(longest / seconds), LONGEST_CHUNK, max(share, int(WORTH_SENDING / seconds)))
    return max(1, min(length, waiting))


def call_noting(call: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
    """Call a function; an exception says which individual it was about."""
    try:
        return call(*args, **kwargs)
    except Exception as error:
        note_genome(error, args)
        raise


def run_chunk(packed: Packed, load: Callable[[], Any], calls: list[Any], values: list[Any]) -> None:
    """Append what each of `calls` returns to `values`, up to the first that raises, or until it takes too long.

    `load` gives the function that is `packed`. It is loaded again for each call when the first has changed it:
    results must not depend on which calls happened to travel together.
    """
    call = load()
    until = time.perf_counter() + AT_ONCE
    with call.settings() if isinstance(call, Nested) else contextlib.nullcontext():
        steady = _steady.get(hash(packed))
        before = _snapshot(call) if steady is None and len(calls) > 1 else None
        for number, (args, kwargs) in enumerate(calls):
            if number == 1 and steady is None:
                steady = _steady[hash(packed)] = before is not None and _snapshot(call) == before
            if number and not steady:
                call = load()
            values.append(call_noting(call.function if isinstance(call, Nested) else call, args, kwargs))
            if time.perf_counter() > until:
                return


def _snapshot(function: Any) -> bytes | None:
    """Return what a function is just now, without its large arrays; None: that cannot be told."""
    try:
        function = function.function if isinstance(function, Nested) else function
        snapshot: bytes = cloudpickle.dumps(function, pickle.HIGHEST_PROTOCOL, buffer_callback=_is_small)
    except Exception:
        return None
    return snapshot


def _is_small(buffer: pickle.PickleBuffer) -> bool:
    return buffer.raw().nbytes < SMALL
