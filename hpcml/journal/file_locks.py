"""Locks of files, held by a process until it closes the file or ends."""

import errno
import fcntl

__all__ = ["try_lock"]


def try_lock(file: int) -> bool:
    """Lock a file, and return whether no other process holds it; True on file systems without locks.

    Examples
    --------
    >>> import tempfile
    >>> from hpcml.journal.file_locks import try_lock
    >>> with tempfile.NamedTemporaryFile() as one, open(one.name) as other:
    ...     try_lock(one.fileno()), try_lock(other.fileno())
    (True, False)
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:  # NFS says EACCES, flock(2) EWOULDBLOCK
        return error.errno not in (errno.EWOULDBLOCK, errno.EACCES)
    return True
