"""Contents of items as arrays or objects, and results as JSON."""

import io
import json
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

__all__ = ["decode", "group_key", "pack_result", "stack"]

NPY = b"\x93NUMPY"


def decode(content: bytes) -> Any:
    """Return the content of an item: an array, or another object of JSON's.

    Numbers of JSON, and lists of these, are arrays of float64: the type does not depend on the batch. An array in
    the format npy keeps its type.

    Raises
    ------
    ValueError
        The content is neither JSON nor an array in the format npy, or its lists differ in length.

    Examples
    --------
    >>> from hpcml.serving.decoding import decode
    >>> decode(b"[[1, 2], [3, 4]]"), decode(b'{"text": "good"}')
    (array([[1., 2.],
           [3., 4.]]), {'text': 'good'})
    """
    import numpy as np

    if content.startswith(NPY):
        try:
            return _npy_array(content)
        except (ValueError, EOFError, OSError, TypeError) as error:
            raise ValueError(f"no array in the format npy: {error}") from error
    try:
        value = json.loads(content)
    except ValueError as error:
        raise ValueError(f"neither JSON nor npy: {error}") from error
    if not isinstance(value, list | int | float):
        return value
    array = np.array(value)
    return array.astype(np.float64) if array.dtype.kind in "biuf" else value


def _npy_array(content: bytes) -> Any:
    """Return the array of a file in the format npy, which is a view of `content` in the common case.

    numpy.load takes 20 µs for the header, which all items share.
    """
    import numpy as np

    start = 10 + int.from_bytes(content[8:10], "little")
    if content[6:8] != b"\1\0":
        return np.load(io.BytesIO(content), allow_pickle=False)
    shape, in_columns, dtype = _npy_header(content[:start])
    array = np.frombuffer(content, dtype, math.prod(shape), start)
    return array.reshape(shape, order="F" if in_columns else "C")


@lru_cache(256)
def _npy_header(header: bytes) -> Any:
    """Return shape, order and type of a header of the format npy 1.0.

    Raises
    ------
    ValueError
        The header is damaged, or its array has objects, which only pickle could hold.
    """
    import numpy as np

    shape, in_columns, dtype = np.lib.format.read_array_header_1_0(io.BytesIO(header[8:]))
    if dtype.hasobject or any(length < 0 for length in shape):
        raise ValueError("an array of objects, or of negative length")
    return shape, in_columns, dtype


def group_key(value: Any) -> object:
    """Return the shape and type of an array; items that share these make one batch. Other objects make another."""
    return (value.shape, value.dtype.str) if hasattr(value, "dtype") else "objects"


def stack(values: Sequence[Any]) -> Any:
    """Return one batch of values with one `group_key`: an array whose first axis is the item, or a list."""
    import numpy as np

    return np.stack(values) if hasattr(values[0], "dtype") else list(values)


def pack_result(id: str, version: int, value: Any = None, error: str = "") -> bytes:
    """Return the result of an item as JSON: its value, or its error.

    Raises
    ------
    TypeError, ValueError
        The value is of no type of JSON's or numpy's.

    Examples
    --------
    >>> import numpy
    >>> from hpcml.serving.decoding import pack_result
    >>> pack_result("17", 2, numpy.array([0.25, 0.75]))
    b'{"id": "17", "version": 2, "value": [0.25, 0.75]}'
    """
    outcome = {"error": error} if error else {"value": value}
    return _encode({"id": id, "version": version, **outcome}).encode()


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} is no result in JSON: return numbers, text, lists, dicts or arrays")


_encode = json.JSONEncoder(default=_plain).encode
