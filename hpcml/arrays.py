"""Arrays that travel as a reference to their content, and how a worker builds them around it."""

from collections.abc import Callable, Hashable
from typing import Any

import numpy

__all__ = ["Array", "Lend", "address", "rebuild_array", "rebuild_masked", "reduce_array"]

Array = numpy.ndarray

Lend = Callable[[Hashable, Any, Callable[[], memoryview]], Any]
"""Called with a key of the content, the object that owns it, and a function that gives it as flat bytes;
returns what stands for the content in a pickle."""


def reduce_array(array: Any, lend: Lend) -> tuple[Any, ...] | None:
    """Return how a pickle builds `array` from content that `lend` took; None where the array knows better.

    Arrays of objects travel by pickle, and so do subclasses that say themselves how they are pickled.
    What is not contiguous is copied, once. A memmap arrives as a memmap on the node's file.
    """
    kind = type(array)
    if array.dtype.hasobject:
        return None
    if kind is numpy.ma.MaskedArray:
        fill = None if array._fill_value is None else array.fill_value
        return rebuild_masked, (array.data, array._mask, fill)
    if any(getattr(kind, name) is not getattr(Array, name) for name in ("__reduce__", "__reduce_ex__")):
        return None
    plain = numpy.asarray(array)
    order = "F" if plain.flags.f_contiguous and not plain.flags.c_contiguous else "C"
    key = (address(plain), plain.nbytes, None if plain.flags.forc else (plain.shape, plain.strides))
    content = lend(key, _owner(array), lambda: _flat(plain, order))
    return rebuild_array, (content, plain.dtype, plain.shape, order, None if kind is Array else kind)


def rebuild_array(content: Any, dtype: Any, shape: tuple[int, ...], order: Any, kind: type[Any] | None) -> Any:
    """Return the array over `content`, without copying; it can be written if `content` can."""
    plain: Any = numpy.ndarray(shape, dtype, buffer=content, order=order)
    return plain if kind is None else plain.view(kind)


def rebuild_masked(data: Any, mask: Any, fill: Any) -> Any:
    """Return the masked array over `data` and `mask`, without copying."""
    return numpy.ma.MaskedArray(data, mask=mask, fill_value=fill, copy=False)


def address(content: Any) -> int:
    """Return where the content of an array, or of a flat bytes-like object, begins in memory."""
    array = content if isinstance(content, Array) else numpy.frombuffer(content, numpy.uint8)
    start: int = array.__array_interface__["data"][0]
    return start


def _owner(array: Any) -> Any:
    """Return the array that a chain of views ends at: it lives as long as the memory does."""
    while isinstance(array.base, Array):
        array = array.base
    return array


def _flat(plain: Any, order: str) -> memoryview:
    line: Any = (plain.T if order == "F" else numpy.ascontiguousarray(plain)).reshape(-1)
    return memoryview(line.view(numpy.uint8))
