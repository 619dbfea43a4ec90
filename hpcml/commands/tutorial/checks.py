"""Checks of an exercise's results: each with what is expected, what was found, and a hint."""

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Check", "at_least", "close", "same"]

SHOWN = 60  # characters of a value


@dataclass(frozen=True)
class Check:
    """A check and its outcome; ``hint`` is for those who have not passed."""

    name: str
    passed: bool
    expected: str
    found: str
    hint: str


def same(name: str, found: object, expected: object, hint: str) -> Check:
    """Return the check that two values are equal.

    Examples
    --------
    >>> from hpcml.commands.tutorial.checks import same
    >>> same("slots", 1, 2, "use all").passed
    False
    """
    return Check(name, found == expected, _shown(expected), _shown(found), hint)


def at_least(name: str, found: float, limit: float, hint: str) -> Check:
    """Return the check that a number is no less than a limit."""
    return Check(name, found >= limit, f"{limit:g} or more", f"{found:.6g}", hint)


def close(
    name: str, found: Sequence[float], expected: Sequence[float], hint: str, tolerance: float = 1e-9
) -> Check:
    """Return the check that numbers are equal, but for a tolerance of each.

    Examples
    --------
    >>> from hpcml.commands.tutorial.checks import close
    >>> close("scores", [0.5, 0.25], [0.5, 0.26], "the same folds").found
    '0.25 in place of 0.26 (number 2 of 2)'
    """
    if len(found) != len(expected):
        return Check(name, False, f"{len(expected)} numbers", f"{len(found)}", hint)
    pairs = enumerate(zip(found, expected, strict=True), 1)
    all_of_one = f"{len(expected)} numbers of one process" if len(expected) != 1 else f"{expected[0]:.9g}"
    wrong = [(place, one, other) for place, (one, other) in pairs if not abs(one - other) <= tolerance]
    if not wrong:
        return Check(name, True, all_of_one, "these", hint)
    place, one, other = wrong[0]
    shown = f"{one:.9g} in place of {other:.9g} (number {place} of {len(expected)})"
    return Check(name, False, all_of_one, shown, hint)


def _shown(value: object) -> str:
    text = str(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
