"""Values of the calls of a chunk, each as it was when its call returned."""

from typing import Any, NamedTuple

from hpcml.data.arrays import is_number
from hpcml.data.classes import FindClass, loads_known
from hpcml.data.column_encoding import SeenObjects, encode_column
from hpcml.data.columns import Column
from hpcml.data.pickling import dumps_parts, is_plain
from hpcml.errors import TaskError

__all__ = ["PackedValues", "Values", "too_large", "unpicklable"]


class PackedValues(NamedTuple):
    """The values of the calls of a chunk, packed.

    Parameters
    ----------
    constants
        Values that nothing can change, as a list with None in the places of the others, or as a column.
    pickles
        The pickles of the others, by their places.
    """

    constants: list[Any] | Column
    pickles: dict[int, bytes]

    def load(self, find: FindClass) -> tuple[list[Any], BaseException | None]:
        """Return the values up to the first that cannot be unpickled here, and the error of that one.

        See `hpcml.data.classes.loads_known` for `find`.
        """
        values = self.constants if isinstance(self.constants, list) else list(self.constants.values())
        place = 0
        try:
            for place, packed in self.pickles.items():
                (values[place],) = loads_known(packed, find)
        except BaseException as error:  # a __setstate__ of the user's may raise anything
            return values[:place], error
        return values, None


class Values:
    """Collects the values of calls.

    Parameters
    ----------
    limit
        The most bytes that one value may have.

    Examples
    --------
    >>> from hpcml.data.values import Values
    >>> values, same = Values(1000), []
    >>> for number in range(3):
    ...     same.append(number)
    ...     values.add(same)
    >>> values.packed().load(lambda number: None)
    ([[0], [0, 1], [0, 1, 2]], None)
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._constants: list[Any] = []
        self._pickles: dict[int, bytes] = {}
        self.nbytes = 0  # of the pickles

    def __len__(self) -> int:
        return len(self._constants)

    def add(self, value: Any) -> None:
        """Take the value of the next call.

        Raises
        ------
        TaskError
            The value cannot be pickled, or is too large.
        """
        parts = value if type(value) is tuple else (value,)
        if _NUMBERS.issuperset(map(type, parts)) or _are_constant(parts):
            self._constants.append(value)
            return
        try:
            packed = dumps_parts(value)
        except Exception as error:
            raise unpicklable(value, error) from None
        if len(packed) > self._limit:
            raise too_large(len(packed), self._limit)
        self.nbytes += len(packed)
        self._pickles[len(self._constants)] = packed
        self._constants.append(None)

    def packed(self) -> PackedValues:
        """Return the values, packed."""
        may_be_column = len(self._constants) > 1 and not self._pickles
        column = encode_column(self._constants, SeenObjects()) if may_be_column else None
        return PackedValues(self._constants if column is None else column, self._pickles)


def _are_constant(parts: tuple[Any, ...]) -> bool:
    """Return whether the parts of a value are numbers, or short texts."""
    return all(map(_is_number, parts)) or is_plain(parts, {})


_NUMBERS = {int, float, bool}  # and the types of numpy's numbers that have occurred


def _is_number(value: Any) -> bool:
    if not is_number(value):
        return False
    _NUMBERS.add(type(value))
    return True


def unpicklable(value: Any, error: Exception) -> TaskError:
    """Return the error of a task whose value cannot be pickled."""
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    return TaskError(f"the result, a {kind}, cannot be sent back: {error}. Return plain data instead.")


def too_large(size: int, limit: int) -> TaskError:
    """Return the error of a task whose value has too many bytes."""
    return TaskError(
        f"the result takes {size:,} bytes, more than max_result_nbytes={limit:,}: write it to a file and "
        "return its path, or open Cluster(max_result_nbytes=…)"
    )
