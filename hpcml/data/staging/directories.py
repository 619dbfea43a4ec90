"""Directories for shared data on one node: made, locked, made again, and removed by the process that owns them."""

import contextlib
import errno
import fcntl
import glob
import logging
import os
import shutil
import stat
import time
from collections.abc import Sequence
from pathlib import Path

from hpcml.data.staging.files import directory_in, unverified_path
from hpcml.data.staging.takeover import LOCK, take_over

__all__ = ["DataDirectories", "remove_left"]

log = logging.getLogger("hpcml")

LOCK_GRACE_SECONDS = 60.0  # a younger directory may not have its lock yet


class DataDirectories:
    """One directory in each of `places` that allows it; they exist until `close`.

    Directories that a killed process of the same user has left behind in the same places are removed.

    Parameters
    ----------
    name
        Name of the directories, the same on every node of a run.
    again
        Another process of this run had them on this node before: wait for its end, and take over the directories
        that it leaves.
    """

    def __init__(self, name: str, places: Sequence[str], again: bool = False) -> None:
        self.paths: list[str] = []
        self._locks: list[int] = []
        for place in places:
            with contextlib.suppress(OSError):
                _remove_abandoned(place)
            with contextlib.suppress(OSError):
                path = directory_in(place, name)
                self._locks.append(_make_again(path) if again else _make(path))
                self.paths.append(path)

    def renew(self) -> None:
        """Make directories again that a cleaning program has removed; the files were removed with them."""
        for number, path in enumerate(self.paths):
            if not _is_locked(path, self._locks[number]):
                log.warning("%s was removed while it was in use: making it again", path)
                with contextlib.suppress(OSError):
                    os.makedirs(os.path.dirname(path), exist_ok=True)
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(path, 0o700)
                    lock = _lock(path)
                    os.close(self._locks[number])
                    self._locks[number] = lock

    def free_bytes(self) -> dict[str, int]:
        """Return the free bytes of each directory, after `renew`."""
        self.renew()
        found = {}
        for path in self.paths:
            with contextlib.suppress(OSError):
                system = os.statvfs(path)
                found[path] = system.f_bavail * system.f_frsize
        return found

    def remove(self, path: str) -> None:
        """Remove a file of these directories, verified or not; workers that have mapped it keep its content."""
        if os.path.dirname(path) in self.paths:
            for file in (path, unverified_path(path)):
                with contextlib.suppress(OSError):
                    os.unlink(file)

    def close(self) -> None:
        """Remove the directories with all their files."""
        for path in self.paths:
            _remove(path)
        for lock in self._locks:
            os.close(lock)
        self.paths = []
        self._locks = []


def remove_left(name: str, places: Sequence[str]) -> None:
    """Remove this node's directories of a run whose owner has ended without removing them.

    Slurm sends SIGTERM to srun too when it ends a job, and srun then has the step killed: an owner may get SIGKILL
    before it has done anything. Where the driver's node is one of the run's, the driver removes them.
    """
    for place in places:
        path = directory_in(place, name)
        lock = take_over(path)
        if lock is not None:
            _remove(path)
            os.close(lock)
        else:
            _remove_empty(path)


def _make(path: str) -> int:
    """Make a directory, and return its lock. Raises OSError."""
    os.mkdir(path, 0o700)  # one that exists is another node's: this place is not the node's own
    return _lock(path)


def _make_again(path: str) -> int:
    """Return the lock of a directory that another process of the run has left, or of a new one. Raises OSError."""
    lock = take_over(path)
    if lock is not None:
        return lock
    _remove_empty(path)
    try:
        return _make(path)
    except FileNotFoundError:  # a process that was just ending has removed the new one
        return _make(path)


def _remove(path: str) -> None:
    """Remove a directory, its lock as the last file: where this process is killed, another can go on with that."""
    with contextlib.suppress(OSError):
        for entry in os.scandir(path):
            if entry.name != LOCK:
                with contextlib.suppress(OSError):
                    os.unlink(entry.path)
    shutil.rmtree(path, ignore_errors=True)


def _remove_empty(path: str) -> None:
    """Remove a directory of this user whose owner was killed between the removals of the lock and of itself."""
    with contextlib.suppress(OSError):
        if os.lstat(path).st_uid == os.geteuid():
            os.rmdir(path)


def _lock(path: str) -> int:
    """Lock a directory, which must be this user's own, and return the lock. Raises OSError."""
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(errno.EACCES, "not a directory of this user's alone", path)
    lock = os.open(os.path.join(path, LOCK), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return lock


def _is_locked(path: str, lock: int) -> bool:
    try:
        return os.path.samestat(os.lstat(os.path.join(path, LOCK)), os.fstat(lock))
    except OSError:
        return False


def _remove_abandoned(place: str) -> None:
    """Remove this user's directories in `place` whose owner has ended."""
    for path in map(Path, glob.glob(directory_in(glob.escape(place), "*"))):
        with contextlib.suppress(OSError):  # another process may be sweeping as well
            found = path.lstat()
            ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
            if ours and found.st_mtime < time.time() - LOCK_GRACE_SECONDS and _is_abandoned(path / LOCK):
                _remove(str(path))


def _is_abandoned(lock: Path) -> bool:
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except FileNotFoundError:  # not a directory of data
        return False
    return True
