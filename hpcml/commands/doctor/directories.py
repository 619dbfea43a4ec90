"""Working directory and trial directory of the driver, as a node sees them; needs the standard library alone.

A node that shares the trial directory reads the driver's token there, and does not get the driver's lock.
"""

import errno
import fcntl
import os
import tempfile
from collections.abc import Callable, Mapping

__all__ = ["TOKEN_FILE", "look_at"]

TOKEN_FILE = "token"


def look_at(order: Mapping[str, str], begin: Callable[[str], None] = lambda _: None) -> dict[str, str]:
    """Return how this node sees the directories of `order`, see `hpcml.commands.doctor.trial.Trial`.

    Returns
    -------
    dict
        ``directory``: the error of the working directory, "" where it exists. ``trial``: "shared" where the token
        was read, else what was seen. ``lock``: "" where the driver's lock was met, "free" where this process got
        the lock too, else the error; absent where it was not tried. ``write``: the error of a file that was made
        beside the token.
    """
    begin(f"look at the working directory {order['directory']}")
    seen = {"directory": "" if os.path.isdir(order["directory"]) else "does not exist", "trial": "not tried"}
    if not order["token"]:
        return seen
    begin(f"read {order['trial']}/{TOKEN_FILE}")
    try:
        descriptor, writable = _open(f"{order['trial']}/{TOKEN_FILE}")
    except OSError as error:
        return {**seen, "trial": error.strerror or str(error)}
    try:
        content = os.read(descriptor, 100).decode(errors="replace")
        seen["trial"] = "shared" if content == order["token"] else "another file"
        if writable:  # an exclusive lock over NFS needs that
            begin(f"lock {order['trial']}/{TOKEN_FILE}")
            seen["lock"] = _try_lock(descriptor)
    finally:
        os.close(descriptor)
    begin(f"write to {order['trial']}")
    try:
        with tempfile.TemporaryFile(dir=order["trial"]) as file:
            file.write(b"\0")
    except OSError as error:
        seen["write"] = error.strerror or str(error)
    return seen


def _open(path: str) -> tuple[int, bool]:
    """Open a file, for writing where that can be; return the descriptor, and whether it can be written."""
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC), True
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES):
            raise
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC), False


def _try_lock(descriptor: int) -> str:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return "" if error.errno in (errno.EWOULDBLOCK, errno.EACCES) else error.strerror or str(error)
    return "free"
