"""Types that keys treat apart: those with attributes that keys ignore, and those that are immutable."""

import datetime
import decimal
import enum
import fractions
import pathlib
import re
import types
import uuid
from typing import Any

from hpcml.data.arrays import Array

__all__ = ["IGNORED_ATTRIBUTES", "IMMUTABLE", "KEY_IGNORES", "note_immutable"]

KEY_IGNORES = "__hpcml_key_ignores__"
"""Attribute by which a class of hpcml names those of its objects that have no influence on a result."""

IGNORED_ATTRIBUTES: dict[tuple[str, str], tuple[str, ...] | None] = {
    ("sklearn.utils.parallel", "_FuncWrapper"): ("warning_filters",),
    ("sklearn.callback._callback_context", "CallbackContext"): None,
}
"""Attributes (None: all) that have no influence on a result and differ between two sessions of a script: warning
filters depend on the imports so far, the context of callbacks holds the time and a random number. The classes are
those of other libraries; one of hpcml names such attributes itself, see `KEY_IGNORES`."""

IMMUTABLE: set[type] = {
    *(int, float, str, bytes, bool, complex, type(None), tuple, range, slice, type(...), type(NotImplemented)),
    *(type, types.FunctionType, types.BuiltinFunctionType, types.MethodType, types.CodeType, types.ModuleType),
    *(datetime.date, datetime.datetime, datetime.time, datetime.timedelta, datetime.timezone),
    *(decimal.Decimal, fractions.Fraction, uuid.UUID, re.Pattern, types.GenericAlias, frozenset),
}
"""Types whose equal objects cannot be distinguished: a process may keep one object in place of several."""

_BASES = (enum.Enum, pathlib.PurePath, type)


def note_immutable(kind: Any) -> None:
    """Add a type to `IMMUTABLE` if it is a scalar or dtype of numpy, an enum, a path or a metaclass."""
    of_numpy = kind.__module__ in ("numpy", "numpy.dtypes") and not issubclass(kind, Array)  # scalars and dtypes
    if of_numpy or issubclass(kind, _BASES):
        IMMUTABLE.add(kind)
