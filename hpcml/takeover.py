"""Directories for data whose owner is ended, and which another process of the run goes on with."""

import contextlib
import fcntl
import os
import time

__all__ = ["take_over"]

PREDECESSOR = 10.0  # seconds in which a process that is being ended is gone


def take_over(path: str) -> int | None:
    """Return the lock of a directory whose owner ends within `PREDECESSOR` seconds; None when it went with it."""
    deadline = time.monotonic() + PREDECESSOR
    try:
        lock = os.open(os.path.join(path, "owner"), os.O_RDWR)
    except OSError:
        return None
    while True:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(lock).st_nlink:
                return lock
            break
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    os.close(lock)
    return None
