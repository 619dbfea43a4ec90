"""Lock of a checkpoint, held by one process at a time.

The locks of `hpcml.data.staging` are others: they are of one node, no message names their holders, and their files
are removed with their directories. The library filelock would not serve either: its process that waits
truncates the file, which holds the holder's name, and it fails on file systems without locks.
"""

import contextlib
import logging
import os
import socket
import time
import weakref
from pathlib import Path

from hpcml.errors import HpcmlError
from hpcml.journal.file_locks import try_lock
from hpcml.journal.private_files import open_private

__all__ = ["CheckpointLock", "not_writable_error"]

log = logging.getLogger("hpcml")

# An NFS server gives up the locks of a silent client after 90 s.
LOCK_TIMEOUT_SECONDS = 120.0
PAUSE_SECONDS = 1.0  # between two attempts

_ADVICE = (
    "wait for its end, or give another. In the same process, close the evolution that was left: its generator has "
    "a method close()"
)


def not_writable_error(checkpoint: Path, reason: str) -> HpcmlError:
    """Return the error of a checkpoint in a directory where no file can be made."""
    return HpcmlError(
        f"the checkpoint {checkpoint} cannot be written: nothing can be made in the directory "
        f"{checkpoint.absolute().parent}: {reason}. Choose another"
    )


class CheckpointLock:
    """Lock on the file `path`, for the checkpoint `checkpoint`. The file stays: another process may wait for it.

    Parameters
    ----------
    advice
        End of the message where another process holds the lock.

    Raises
    ------
    HpcmlError
        Another process holds the lock, or the file cannot be made.
    """

    def __init__(self, path: Path, checkpoint: Path, advice: str = _ADVICE) -> None:
        self._file: int | None = None
        try:
            self._file = open_private(path, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise not_writable_error(checkpoint, error.strerror or str(error)) from error
        try:
            self._acquire(checkpoint, advice)
        except BaseException:
            self.release()
            raise
        _held_locks.add(self)

    def _acquire(self, checkpoint: Path, advice: str) -> None:
        """Lock the file. Wait only for a process of another node: over NFS, its lock may outlast the node."""
        assert self._file is not None
        deadline = time.monotonic() + LOCK_TIMEOUT_SECONDS
        while not try_lock(self._file):
            holder = os.pread(self._file, 200, 0).decode(errors="replace") or "another process"
            if holder.endswith(f" on {socket.gethostname()}") or time.monotonic() > deadline:
                raise HpcmlError(f"{holder} is at work with the checkpoint {checkpoint}: {advice}")
            log.info("%s is at work with the checkpoint %s: waiting for its end", holder, checkpoint)
            time.sleep(min(PAUSE_SECONDS, LOCK_TIMEOUT_SECONDS))
        # The name in the file only serves the message.
        with contextlib.suppress(OSError):
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)

    def release(self) -> None:
        """Release the lock."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    __del__ = release


_held_locks: "weakref.WeakSet[CheckpointLock]" = weakref.WeakSet()


def _release_in_child() -> None:
    """Close the locks in a child of fork(): a child that outlives its parent would hold them."""
    for lock in list(_held_locks):
        lock.release()


os.register_at_fork(after_in_child=_release_in_child)
