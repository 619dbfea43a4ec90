"""Number of calls that joblib will take from an iterable, for the progress of a Parallel."""

import dis
import itertools
import math
import warnings
from collections.abc import Iterable
from operator import length_hint
from types import CodeType
from typing import Any

__all__ = ["expected_length"]


def expected_length(iterable: Iterable[object] | None) -> int | None:
    """Return how many items `iterable` will yield, or None where that cannot be seen.

    Looks through ``zip`` and ``product``, and through generators that map another iterable without a condition:
    the searches of scikit-learn give joblib such a chain over candidates and folds.

    Examples
    --------
    >>> import itertools
    >>> from hpcml.cluster.joblib.expected_length import expected_length
    >>> expected_length((a + b) for a, b in itertools.product(range(20), range(5)))
    100
    >>> expected_length(n for n in range(20) if n % 2) is None
    True
    """
    while (source := _source(iterable)) is not None:
        iterable = source
    if isinstance(iterable, zip | itertools.product):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # itertools lose __reduce__ in Python 3.14
            parts = iterable.__reduce__()[1]
        if isinstance(iterable, itertools.product):
            return math.prod(len(pool) for pool in parts)
        return min((length for part in parts if (length := expected_length(part))), default=None)
    return None if iterable is None else length_hint(iterable, 0) or None


def _source(generator: Any) -> Any:
    """Return the iterable of a generator expression without a condition; None for any other object."""
    frame = getattr(generator, "gi_frame", None)
    if frame is None or ".0" not in frame.f_locals or _filters(generator.gi_code):
        return None
    return frame.f_locals[".0"]


def _filters(code: CodeType) -> bool:
    """Return whether a generator expression may skip items, or loops within its loop."""
    names = [instruction.opname for instruction in dis.get_instructions(code)]
    return names.count("FOR_ITER") != 1 or any("_IF_" in name or "JUMP_FORWARD" in name for name in names)
