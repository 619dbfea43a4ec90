"""Arrays: sent as a reference to their content, and built around the content on a worker."""

import copyreg
import mmap
import pickle
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, Protocol

import numpy
from numpy.typing import NDArray

from hpcml.data.file_maps import reduce_returned_map
from hpcml.data.map_modes import is_file_map

__all__ = [
    "Array",
    "MakeReference",
    "address",
    "content",
    "integers",
    "is_constant",
    "is_mapped",
    "is_number",
    "numbers",
    "plain_array",
    "rebuild_array",
    "rebuild_masked",
    "reduce_array",
    "reduce_returned",
    "split_rows",
    "stack",
]

Array = numpy.ndarray

_STATE = ("__reduce__", "__reduce_ex__", "__getstate__", "__setstate__")


class MakeReference(Protocol):
    """Takes content out of a pickle."""

    def __call__(self, nbytes: int, key: Hashable, owner: Any, produce: Callable[[], memoryview], /) -> Any:
        """Return a placeholder for content, None to leave it in the pickle.

        `key` means the content while `owner` lives; `produce` returns the content as flat bytes.
        """


def reduce_array(array: NDArray[Any], make_reference: MakeReference) -> tuple[Any, ...] | None:
    """Return how a pickle builds `array` around content for which `make_reference` gives a placeholder.

    None where the content stays in the pickle. That is so for arrays of objects, and for subclasses that say
    themselves how they are pickled. Content that is not contiguous is copied, once. A memmap arrives as a memmap
    on the node's file.
    """
    kind = type(array)
    if array.dtype.hasobject:
        return None
    if kind is numpy.ma.MaskedArray:
        return _reduce_masked(array)
    if kind in copyreg.dispatch_table or any(getattr(kind, name) is not getattr(Array, name) for name in _STATE):
        return None
    plain = numpy.asarray(array)
    axes = _axes(plain)
    straight = plain if axes is None else plain.transpose(axes)
    layout = None if straight.flags.c_contiguous else (plain.shape, plain.strides)
    content = make_reference(plain.nbytes, (address(plain), layout), _owner(array), lambda: _flat(straight))
    if content is None:
        return None
    return rebuild_array, (content, plain.dtype, straight.shape, axes, None if kind is Array else kind)


def _reduce_masked(array: Any) -> tuple[Any, ...]:
    fill = None if array._fill_value is None else array.fill_value
    return rebuild_masked, (array.data, array._mask, fill)


def reduce_returned(array: NDArray[Any]) -> Any:
    """Return how the pickle of a result builds `array`; an array over read-only data becomes the caller's own."""
    if is_mapped(array):
        return array.copy(order="K").__reduce_ex__(pickle.HIGHEST_PROTOCOL)
    return reduce_returned_map(array) if is_file_map(array) else None


def plain_array(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array of a subclass as a plain array over the same content."""
    return numpy.asarray(array)


def rebuild_array(
    content: Any,
    dtype: numpy.dtype[Any],
    shape: tuple[int, ...],
    axes: tuple[int, ...] | None,
    kind: type[NDArray[Any]] | None,
) -> NDArray[Any]:
    """Return the array over `content`, without copying; the array can be written if `content` can.

    `shape` is the shape of the content, whose dimensions are the array's `axes`; None: all in their order.
    """
    plain: NDArray[Any] = numpy.ndarray(shape, dtype, buffer=content)
    if axes is not None:
        plain = plain.transpose(numpy.argsort(axes))
    return plain if kind is None else plain.view(kind)


def rebuild_masked(data: NDArray[Any], mask: Any, fill: Any) -> numpy.ma.MaskedArray[Any, Any]:
    """Return the masked array over `data` and `mask`, without copying."""
    return numpy.ma.MaskedArray(data, mask=mask, fill_value=fill, copy=False)


def address(content: Any) -> int:
    """Return the address in memory at which the content of an array, or of a flat bytes-like object, begins."""
    array = content if isinstance(content, Array) else numpy.frombuffer(content, numpy.uint8)
    start: int = array.__array_interface__["data"][0]
    return start


def content(array: Any) -> bytes:
    """Return the bytes of an array, or of another buffer, in the order of the axes."""
    found: bytes = array.tobytes()
    return found


def is_constant(thing: Any) -> bool:
    """Return whether an object is one of numpy's that cannot be changed: a scalar, a dtype, a function."""
    if isinstance(thing, numpy.generic):
        return not isinstance(thing, numpy.void)
    return isinstance(thing, numpy.dtype | numpy.ufunc)


MAX_STACKED_NBYTES = 1 << 16  # of one row; to copy more once again takes too long
_TYPES = {bool: numpy.bool_, int: numpy.int64, float: numpy.float64}


def is_number(thing: Any) -> bool:
    """Return whether a value is exactly a number of Python's, or a scalar of numpy's.

    Examples
    --------
    >>> import numpy
    >>> from hpcml.data.arrays import is_number
    >>> is_number(1.5), is_number(numpy.float64(1.5)), is_number([1.5])
    (True, True, False)
    """
    return type(thing) in _TYPES or isinstance(thing, numpy.number | numpy.bool_)


def numbers(kind: type, values: Sequence[Any]) -> NDArray[Any] | None:
    """Return numbers of type `kind` as an array; None where they are no numbers, or too large."""
    is_scalar = issubclass(kind, numpy.number | numpy.bool_) and not issubclass(kind, numpy.timedelta64)  # a unit
    if kind not in _TYPES and not is_scalar:
        return None
    try:
        return numpy.fromiter(values, _TYPES.get(kind, kind), len(values))
    except (OverflowError, TypeError, ValueError):
        return None


def integers(values: Sequence[int]) -> NDArray[numpy.int32]:
    """Return small numbers as an array."""
    return numpy.array(values, numpy.int32)


def stack(arrays: Sequence[NDArray[Any]]) -> NDArray[Any] | None:
    """Return arrays as the rows of one; None where they differ in more than content, or hold objects."""
    first = arrays[0]
    if first.dtype.hasobject or first.nbytes > MAX_STACKED_NBYTES:
        return None
    for array in arrays:
        if array.shape != first.shape or array.dtype != first.dtype:
            return None
        if not array.flags.c_contiguous or not array.flags.writeable or is_file_map(array):
            return None
    return numpy.stack([numpy.asarray(array) for array in arrays])


def split_rows(stacked: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield copies of the rows of an array; an array of no dimensions each where it has one."""
    for row in range(len(stacked)):
        yield stacked[row, ...].copy()


def is_mapped(array: NDArray[Any]) -> bool:
    """Return whether an array is a view of a file that must not be written."""
    return not array.flags.writeable and _is_over_a_map(array)


def _is_over_a_map(array: Any) -> bool:
    while isinstance(array, Array):
        array = array.base
    return isinstance(array, mmap.mmap) or (isinstance(array, memoryview) and isinstance(array.obj, mmap.mmap))


def _owner(array: NDArray[Any]) -> NDArray[Any]:
    """Return the array that exists as long as its content may be sent again.

    That is the last one in a chain of views, when `array` shows all of it: a view may be made for one call. The
    content of a view of a part is kept as long as this view exists.
    """
    whole = array
    while isinstance(whole.base, Array):
        whole = whole.base
    return whole if whole.nbytes == array.nbytes else array


def _axes(plain: NDArray[Any]) -> tuple[int, ...] | None:
    """Return the axes in the order of the content in memory, None when that is their own order."""
    if plain.flags.c_contiguous:
        return None
    axes = tuple(numpy.argsort([-stride for stride in plain.strides], kind="stable").tolist())
    if not plain.transpose(axes).flags.c_contiguous:
        return None
    return axes


def _flat(plain: NDArray[Any]) -> memoryview:
    line = numpy.ascontiguousarray(plain).reshape(-1)
    return line.view(numpy.uint8).data
