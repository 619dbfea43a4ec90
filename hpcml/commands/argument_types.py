"""Types of arguments for `argparse`: numbers within limits, which the message of an error names."""

import argparse
from collections.abc import Callable

__all__ = ["seconds", "whole_number"]


def whole_number(least: int) -> Callable[[str], int]:
    """Return the type of whole numbers from `least` on.

    Examples
    --------
    >>> from hpcml.commands.argument_types import whole_number
    >>> whole_number(1)("3")
    3
    """

    def _number(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text} is no whole number of {least} or more")
        return int(text)

    return _number


def seconds(least: float, most: float) -> Callable[[str], float]:
    """Return the type of seconds within limits.

    Examples
    --------
    >>> from hpcml.commands.argument_types import seconds
    >>> seconds(0, 60)("1.5")
    1.5
    """

    def _seconds(text: str) -> float:
        found = float(text)
        if not least <= found <= most:
            raise argparse.ArgumentTypeError(f"{text} is no number of seconds from {least:g} to {most:,.0f}")
        return found

    return _seconds
