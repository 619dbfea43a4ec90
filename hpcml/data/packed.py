"""Pickles that are sent: of a function, or of the arguments of a call."""

from typing import NamedTuple

from hpcml.data.staging.files import DataPart
from hpcml.data.staging.store import DataReference

__all__ = ["LargePart", "Packed", "Payload", "Referring", "large_parts_of", "nbytes"]


LargePart = DataReference | DataPart
"""Placeholder for a large part of a pickle: a reference in the driver, on a worker the part of a file."""


class Payload(NamedTuple):
    """A pickle without its large parts.

    Parameters
    ----------
    stream
        The pickle.
    holes
        Offsets in the stream at which content is missing, and the content.
    buffers
        Content of the pickle's out-of-band buffers, in order (PEP 574).
    """

    stream: bytes
    holes: tuple[tuple[int, LargePart], ...]
    buffers: tuple[LargePart, ...]


class Referring(NamedTuple):
    """A pickle of arguments that refers to objects of the function; see `hpcml.data.out_of_band.Packer`."""

    packed: bytes | Payload


Packed = bytes | Payload


def nbytes(packed: Packed | Referring) -> int:
    """Return the number of bytes of a pickle that are sent with a task."""
    if isinstance(packed, Referring):
        packed = packed.packed
    return len(packed) if isinstance(packed, bytes) else len(packed.stream)


def large_parts_of(packed: Packed | Referring) -> list[LargePart]:
    """Return the placeholders for the large parts of a pickle."""
    if isinstance(packed, Referring):
        packed = packed.packed
    return [] if isinstance(packed, bytes) else [*packed.buffers, *(part for _, part in packed.holes)]
