"""Modes of arrays of file maps (`numpy.memmap`): which of them write to their file.

A map of mode "r+" or "w+" is shared with its file, also by its views. A map that is read-only, or of mode "c", is
content like any other array.
"""

import mmap
from typing import Any

import numpy
from numpy.typing import NDArray

__all__ = ["is_copy_on_write", "is_file_map", "is_masked_map", "map_of", "refuse_file_map"]


def map_of(array: NDArray[Any]) -> Any:
    """Return the memmap whose memory an array is a view of, None where there is none."""
    source: object = array
    while isinstance(source, numpy.ndarray):
        if isinstance(source.base, mmap.mmap):
            return source if isinstance(source, numpy.memmap) else None
        source = source.base
    return None


def is_file_map(array: NDArray[Any]) -> bool:
    """Return whether writing to an array writes to a file.

    Examples
    --------
    >>> import numpy, tempfile
    >>> from hpcml.data.map_modes import is_file_map
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     out = numpy.memmap(file.name, mode="w+", shape=(4,))
    ...     is_file_map(out), is_file_map(numpy.asarray(out)[1:]), is_file_map(out.copy())
    (True, True, False)
    """
    if isinstance(array, numpy.ma.MaskedArray):  # its data may be one: `is_masked_map`
        return False
    source = map_of(array) if array.flags.writeable and array.nbytes else None
    return source is not None and source.mode != "c"


def is_masked_map(array: NDArray[Any]) -> bool:
    """Return whether an array is a masked array whose data is a map that writes to its file."""
    return isinstance(array, numpy.ma.MaskedArray) and is_file_map(array.data)


def is_copy_on_write(array: NDArray[Any]) -> bool:
    """Return whether an array is of a map of mode "c": the array is writable, and its file never changes."""
    source = map_of(array) if array.flags.writeable else None
    return source is not None and source.mode == "c"


def refuse_file_map(array: NDArray[Any]) -> NDArray[Any]:
    """Return `array`, or raise for a map that writes to its file.

    Such a task has no recorded result: its output is the file, which only running the task writes.

    Raises
    ------
    TypeError
        The array is a map that can be written.
    """
    if is_file_map(array):
        raise TypeError(
            "what is sent has a writable numpy.memmap, and the task may write to its file. Where tasks only read "
            "the file, open it with mode='r'"
        )
    return array
