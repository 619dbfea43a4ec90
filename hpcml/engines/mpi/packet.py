"""Packets between the driver, the relays of the nodes, and back: a header and a body."""

import enum
import struct
from typing import NamedTuple

__all__ = ["HEADER_BYTES", "Kind", "Packet", "read_header"]

_HEADER = struct.Struct("<BIIQ")  # kind, slot, generation, bytes of the body
HEADER_BYTES = _HEADER.size


class Kind(enum.IntEnum):
    """Kinds of packets; the body is empty where nothing else is said."""

    FRAME = 1
    """To a worker: the body is a frame."""
    OUTCOMES = 2
    """From a worker: the body has the outcomes of its first frame."""
    BORN = 3
    """A worker takes frames: the body is the name of its node."""
    DIED = 4
    """A worker has ended: the body is the cause."""
    QUESTION = 5
    """To each relay: is it alive?"""
    ANSWER = 6
    """From a relay: the body is the name of its node."""
    END = 7
    """Of ranks of the user's own: see `own_ranks`."""


class Packet(NamedTuple):
    """Packet of a worker.

    Parameters
    ----------
    slot
        Number of the slot among those of all nodes.
    generation
        Number of the worker in its slot: a frame for a worker that has ended must not run on the next. For ranks
        of the user's own the number of the frame, which its outcomes have too.

    Examples
    --------
    >>> from hpcml.engines.mpi.packet import Kind, Packet, read_header
    >>> header = Packet(Kind.OUTCOMES, 7, 0, b"abc").header()
    >>> read_header(header)
    (<Kind.OUTCOMES: 2>, 7, 0, 3)
    """

    kind: Kind
    slot: int = 0
    generation: int = 0
    body: bytes | bytearray | memoryview = b""

    def header(self) -> bytes:
        """Return the header of the packet."""
        return _HEADER.pack(self.kind, self.slot, self.generation, len(self.body))


def read_header(header: bytes | bytearray | memoryview) -> tuple[Kind, int, int, int]:
    """Return kind, slot, generation, and the number of bytes of the body."""
    kind, slot, generation, nbytes = _HEADER.unpack_from(header)
    return Kind(kind), slot, generation, nbytes
