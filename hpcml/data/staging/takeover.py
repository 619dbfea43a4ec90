"""Takeover of a directory for data by another process of the run, when the owner has been ended."""

import contextlib
import fcntl
import os
import stat
import time

__all__ = ["LOCK", "take_over"]

LOCK = "owner"
"""Name of the file in a directory of data that its owner has locked."""
PREDECESSOR_TIMEOUT_SECONDS = 10.0  # a process that is being ended is gone by then


def take_over(path: str) -> int | None:
    """Return the lock of a directory, once its owner has ended.

    None when the owner has removed the directory, or has not ended after `PREDECESSOR_TIMEOUT_SECONDS`.
    """
    deadline = time.monotonic() + PREDECESSOR_TIMEOUT_SECONDS
    try:
        found = os.lstat(path)
        lock = os.open(os.path.join(path, LOCK), os.O_RDWR | os.O_NOFOLLOW)
    except OSError:
        return None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():  # another user has put one there
        os.close(lock)
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
