"""Directories for data whose owner is ended, and which another process of the run goes on with."""

import contextlib
import fcntl
import os
import stat
import time

__all__ = ["take_over"]

PREDECESSOR = 10.0  # seconds in which a process that is being ended is gone


def take_over(path: str) -> int | None:
    """Return the lock of a directory whose owner ends within `PREDECESSOR` seconds; None when it went with it."""
    deadline = time.monotonic() + PREDECESSOR
    try:
        found = os.lstat(path)
        lock = os.open(os.path.join(path, "owner"), os.O_RDWR | os.O_NOFOLLOW)
    except OSError:
        return None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():  # somebody has put his own there
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
