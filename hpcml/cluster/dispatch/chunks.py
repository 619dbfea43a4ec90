"""Chunks: short calls of one function that are sent as one call, joined and split."""

from collections.abc import Sequence
from typing import Any

from hpcml.data.arguments import Each
from hpcml.data.envelope import Call

__all__ = ["join_calls", "split"]


def split(chunk: Call, length: int, start: int = 0) -> list[Call]:
    """Return the calls of a chunk from `start` on, as chunks of up to `length` calls.

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
