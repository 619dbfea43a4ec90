"""Types that keys treat apart: what says nothing of results, and what is the same when it is equal."""

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

__all__ = ["IGNORED", "IMMUTABLE", "note_immutable"]

IGNORED: dict[tuple[str, str], tuple[str, ...] | None] = {
    ("hpcml.cluster.scoop.task_context", "WithConstants"): ("slots",),
    ("sklearn.utils.parallel", "_FuncWrapper"): ("warning_filters",),
    ("sklearn.callback._callback_context", "CallbackContext"): None,
}
"""Attributes (None: all) that say nothing of a result and differ between two sessions of a script: the warning
filters depend on what has been imported, the context of callbacks holds the time and a random number."""

IMMUTABLE: set[type] = {
    *(int, float, str, bytes, bool, complex, type(None), tuple, range, slice, type(...), type(NotImplemented)),
    *(type, types.FunctionType, types.BuiltinFunctionType, types.MethodType, types.CodeType, types.ModuleType),
    *(datetime.date, datetime.datetime, datetime.time, datetime.timedelta, datetime.timezone),
    *(decimal.Decimal, fractions.Fraction, uuid.UUID, re.Pattern, types.GenericAlias, frozenset),
}
"""Types of which equal objects are the same: nothing can tell them apart, and a process may keep one of them."""

_BASES = (enum.Enum, pathlib.PurePath, type)


def note_immutable(kind: Any) -> None:
    """Add a type to `IMMUTABLE` where it is one of these."""
    of_numpy = kind.__module__ in ("numpy", "numpy.dtypes") and not issubclass(kind, Array)  # scalars and dtypes
    if of_numpy or issubclass(kind, _BASES):
        IMMUTABLE.add(kind)
