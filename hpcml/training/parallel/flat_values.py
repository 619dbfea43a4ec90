"""Nested arrays as one flat array for each type, in a fixed order."""

import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["leaves_of", "rebuilt", "signature", "typed_as", "weighted"]


def leaves_of(values: Any) -> list[Any]:
    """Return the arrays and numbers in nested dicts, lists and tuples, in their order.

    Examples
    --------
    >>> from hpcml.training.parallel.flat_values import leaves_of, rebuilt
    >>> leaves_of({"b": [1.0, (2.0,)], "a": 3.0})
    [1.0, 2.0, 3.0]
    >>> rebuilt({"b": [1.0, (2.0,)], "a": 3.0}, iter([10, 20, 30]))
    {'b': [10, (20,)], 'a': 30}
    """
    if isinstance(values, dict):
        values = values.values()
    elif not isinstance(values, list | tuple):
        return [values]
    return [leaf for value in values for leaf in leaves_of(value)]


def rebuilt(values: Any, leaves: Iterator[Any]) -> Any:
    """Return the nest of `values` with other leaves."""
    if isinstance(values, dict):
        return {key: rebuilt(value, leaves) for key, value in values.items()}
    if isinstance(values, tuple) and hasattr(values, "_fields"):
        return type(values)(*(rebuilt(value, leaves) for value in values))
    if isinstance(values, list | tuple):
        return type(values)(rebuilt(value, leaves) for value in values)
    return next(leaves)


def typed_as(leaf: Any, view: npt.NDArray[Any]) -> Any:
    """Return a mean in the type of the leaf that it is the mean of; integers have means with fractions."""
    array = np.asarray(leaf)
    kind = array.dtype if array.dtype.kind in "fc" else view.dtype
    typed = view.astype(kind, copy=False)
    return (
        typed if isinstance(leaf, np.ndarray) else typed[()].item() if isinstance(leaf, int | float) else typed[()]
    )


def signature(values: Any) -> int:
    """Return a number that differs where keys, their order, shapes or types of leaves differ."""
    return zlib.crc32(repr(_outline(values)).encode())


def _outline(values: Any) -> Any:
    if isinstance(values, dict):
        return {key: _outline(value) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [_outline(value) for value in values]
    array = np.asarray(values)
    return f"{array.shape} {array.dtype}"


def weighted(leaves: list[Any], weight: float) -> tuple[list[npt.NDArray[Any]], list[npt.NDArray[Any]]]:
    """Return leaves multiplied by a weight: one flat array for each type, and views of these for the leaves.

    Half precision is summed in single precision, and integers in double. A weight of 0 gives 0, also of NaN, the
    mean over no rows.
    """
    arrays = [np.asarray(leaf) for leaf in leaves]
    types = [np.result_type(array.dtype, np.float32) for array in arrays]
    flats = {kind: np.empty(_size_of(arrays, types, kind), kind) for kind in dict.fromkeys(types)}
    used = dict.fromkeys(flats, 0)
    views = []
    for array, kind in zip(arrays, types, strict=True):
        view = flats[kind][used[kind] : used[kind] + array.size].reshape(array.shape)
        used[kind] += array.size
        if weight:
            np.multiply(array, kind.type(weight), out=view)
        else:
            view[...] = 0
        views.append(view)
    return list(flats.values()), views


def _size_of(arrays: list[npt.NDArray[Any]], types: list[np.dtype[Any]], kind: np.dtype[Any]) -> int:
    return sum(array.size for array, one in zip(arrays, types, strict=True) if one == kind)
