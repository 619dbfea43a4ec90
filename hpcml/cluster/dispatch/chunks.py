"""Short calls of one function that are sent as one: how many, and how they are joined and split."""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

from hpcml.data.arguments import Each
from hpcml.data.envelope import Call

__all__ = ["CHUNK_SECONDS", "chunk_length", "chunk_lengths", "join_calls", "split"]

CHUNK_SECONDS = 0.05  # of joblib's batches, which it sizes itself: a quarter of a frame
LONGEST_CHUNK = 10_000
MESSAGE_SECONDS = 0.002  # that the driver is busy with a message and its answer
SEND_SECONDS = 0.001  # of these, until the message is sent and the next one's turn


def chunk_length(seconds: float | None, waiting: int, longest: float = CHUNK_SECONDS) -> int:
    """Return how many calls of `seconds` each (None: not known), of those `waiting`, should be sent as one.

    At most half of them, and what takes `longest` seconds, but so many that they are worth a message.

    Examples
    --------
    >>> from hpcml.cluster.dispatch.chunks import chunk_length
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
    whole, more of it to the slots that are sent their part first, so that all end together. No message takes more
    than `longest` seconds, and no more slots are used than messages are worth.

    Examples
    --------
    >>> from hpcml.cluster.dispatch.chunks import chunk_lengths
    >>> list(chunk_lengths(0.003, 100, slots=4, longest=0.2))
    [13, 13, 13, 13, 6, 6, 6, 6, 3, 3, 3, 3, 4, 3, 3, 2]
    >>> list(chunk_lengths(1e-5, 600, slots=12, longest=0.2))
    [350, 250]
    """
    seconds = longest if seconds is None else max(seconds, 1e-9)
    most = max(1, min(int(longest / seconds), LONGEST_CHUNK))
    slots = max(1, min(slots, math.ceil(math.sqrt(waiting * seconds / MESSAGE_SECONDS))))
    while waiting > 0:
        share = math.ceil(waiting / slots)
        half = math.ceil(share / 2)
        if half * seconds < slots * MESSAGE_SECONDS and share <= most:
            yield from _last_lengths(waiting, min(slots, waiting), most, SEND_SECONDS / seconds)
            return
        length = min(half, most)
        for _ in range(min(slots, math.ceil(waiting / length))):
            yield min(length, waiting)
            waiting -= length


def _last_lengths(waiting: int, messages: int, most: int, later: float) -> Iterator[int]:
    """Yield the lengths of the last messages; the slot of each begins by `later` calls after the one before."""
    mean, steps = waiting / messages, max(messages - 1, 1)
    later = min(later, 2 * (mean - 1) / steps, 2 * (most - mean) / steps)  # none is empty, none too long
    ends = [round(number * (mean + later * (messages - number) / 2)) for number in range(messages + 1)]
    for begin, end in itertools.pairwise(ends):
        yield end - begin


def split(chunk: Call, length: int, start: int = 0) -> list[Call]:
    """Return the calls of a chunk from `start` on, as chunks of up to so many.

    Examples
    --------
    >>> from hpcml.data.arguments import Each
    >>> from hpcml.cluster.dispatch.chunks import split
    >>> from hpcml.data.envelope import Call
    >>> chunk = Call(b"f", Each((b"1", b"2", b"3", b"4")), "f", "group", keys=("a", "b", "c", "d"))
    >>> [(part.arguments.packed, part.keys) for part in split(chunk, 2, start=1)]
    [((b'2', b'3'), ('b', 'c')), ((b'4',), ('d',))]
    """
    arguments: Any = chunk.arguments
    parts = []
    for first in range(start, len(chunk.keys), length):
        keys = chunk.keys[first : first + length]
        parts.append(chunk._replace(arguments=arguments.part(first, first + len(keys)), keys=keys))
    return parts


def join_calls(calls: Sequence[Call]) -> Call:
    """Return calls of one function, none of them a chunk, as a chunk."""
    arguments: Any = tuple(call.arguments for call in calls)
    return calls[0]._replace(arguments=Each(arguments), key="", keys=tuple(call.key for call in calls))
