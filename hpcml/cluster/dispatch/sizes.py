"""Numbers of calls that are sent in one message: frames of single tasks, chunks of short calls."""

import itertools
import math
from collections.abc import Iterator

__all__ = ["CHUNK_SECONDS", "FRAME_SECONDS", "chunk_length", "chunk_lengths", "frame_size"]

# A frame hides the 5 ms of its message. A longer one would lose more when its worker dies: results that are not
# sent yet are lost.
FRAME_SECONDS = 0.2
# Twice the 5 ms of a message: shorter frames would make the end later, not earlier.
SHORTEST_FRAME_SECONDS = 0.01
# Of joblib's batches, which joblib sizes itself: a quarter of a frame.
CHUNK_SECONDS = 0.05
LONGEST_CHUNK_CALLS = 10_000
# The driver is busy with a message and its answer for so long, and with the message alone for SEND_SECONDS.
MESSAGE_SECONDS = 0.002
SEND_SECONDS = 0.001


def frame_size(seconds: float | None, waiting: int, slots: int) -> int:
    """Return how many tasks of `seconds` each should be sent together (guided self-scheduling).

    A frame lasts about 0.2 s, and near the end holds half of a slot's share of the waiting tasks, so
    that all slots end together (Polychronopoulos and Kuck 1987, doi:10.1109/TC.1987.5009495). Never more
    than the whole share: tasks may last longer than those before them.

    Examples
    --------
    >>> from hpcml.cluster.dispatch.sizes import frame_size
    >>> frame_size(0.001, waiting=100_000, slots=12), frame_size(0.001, waiting=240, slots=12)
    (200, 10)
    >>> frame_size(30.0, waiting=100_000, slots=12), frame_size(None, waiting=100_000, slots=12)
    (1, 1)
    """
    if not seconds:
        return 1
    seconds = max(seconds, 1e-9)
    whole = math.ceil(waiting / max(slots, 1))
    share = math.ceil(waiting / (2 * max(slots, 1)))
    worth_sending = max(share, int(SHORTEST_FRAME_SECONDS / seconds))
    return max(1, min(int(FRAME_SECONDS / seconds), worth_sending, whole))


def chunk_length(seconds: float | None, waiting: int, longest: float = CHUNK_SECONDS) -> int:
    """Return how many of the `waiting` calls, of `seconds` each (None: unknown), should be sent as one.

    At most half of them, and as many as run for `longest` seconds, but enough to be worth a message.

    Examples
    --------
    >>> from hpcml.cluster.dispatch.sizes import chunk_length
    >>> chunk_length(None, 1000), chunk_length(1e-2, 1000), chunk_length(1e-3, 7)
    (1, 5, 4)
    """
    if seconds is None or seconds > longest / 2:
        return 1
    seconds = max(seconds, 1e-9)
    half = math.ceil(waiting / 2)
    length = min(int(longest / seconds), LONGEST_CHUNK_CALLS, max(half, int(2 * MESSAGE_SECONDS / seconds)))
    return max(1, min(length, waiting))


def chunk_lengths(seconds: float | None, waiting: int, slots: int, longest: float) -> Iterator[int]:
    """Yield the number of calls in each message, until all `waiting` calls are sent to `slots` workers.

    Round by round each slot gets half of its share (factoring: Hummel, Schonberg and Flynn 1992,
    doi:10.1145/135226.135232), until the driver could not send the halves as fast as they are done. Then each gets
    the whole; slots whose message is sent first get more, so that all end together. No message takes more than
    `longest` seconds, and no more slots are used than there is work worth a message.

    Examples
    --------
    >>> from hpcml.cluster.dispatch.sizes import chunk_lengths
    >>> list(chunk_lengths(0.003, 100, slots=4, longest=0.2))
    [13, 13, 13, 13, 6, 6, 6, 6, 3, 3, 3, 3, 4, 3, 3, 2]
    >>> list(chunk_lengths(1e-5, 600, slots=12, longest=0.2))
    [350, 250]
    """
    seconds = longest if seconds is None else max(seconds, 1e-9)
    most = max(1, min(int(longest / seconds), LONGEST_CHUNK_CALLS))
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
    mean = waiting / messages
    steps = max(messages - 1, 1)
    later = min(later, 2 * (mean - 1) / steps, 2 * (most - mean) / steps)  # no message is empty or too long
    ends = [round(number * (mean + later * (messages - number) / 2)) for number in range(messages + 1)]
    for begin, end in itertools.pairwise(ends):
        yield end - begin
