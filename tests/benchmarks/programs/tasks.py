"""Tasks that do nothing, or next to it; importing them costs a worker nothing."""

import time


def noop(_: int) -> None:
    """Do nothing."""


def same(value: int) -> int:
    """Return the argument."""
    return value


def pause(seconds: float) -> None:
    """Sleep. Not `time.sleep` itself: executorlib wants a function with a signature."""
    time.sleep(seconds)
