"""Directory as a source: a file for each item, renamed into it; a result is a file of another directory."""

import errno
import logging
import os
import stat
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from hpcml.errors import HpcmlError
from hpcml.journal.file_locks import try_lock
from hpcml.journal.private_files import write_atomic
from hpcml.serving.items import Item

__all__ = ["Directories"]

log = logging.getLogger("hpcml")

LARGEST_NBYTES = 256 << 20  # of a file
SHORTEST_PAUSE_SECONDS = 0.005  # between two looks into the directory
LONGEST_PAUSE_SECONDS = 0.1  # on a shared file system, many looks are a burden for all
LOCK = ".lock"
ERRORS_OF_ONE_NAME = {  # those of another kind, such as a full disk, are errors of the server
    *(errno.ENAMETOOLONG, errno.EISDIR, errno.ENOTEMPTY, errno.EEXIST, errno.ELOOP, errno.EINVAL, errno.EILSEQ),
    errno.EPERM,  # a file of another user, where only owners may remove files
}
Identity = tuple[int, int, int, int]


class Directories:
    """Items of an inbox, and the outbox for their results.

    The file ``NAME`` of the inbox is the item NAME, and its result the file ``NAME.json`` of the outbox, which is
    there before the item is removed. Folders and hidden files are no items: producers write a hidden file, and
    rename it when it is complete. A file that is replaced or changed while it is scored is an item again.

    Raises
    ------
    HpcmlError
        A directory cannot be used, or another server is at work on the inbox.
    """

    def __init__(self, inbox: Path, outbox: Path) -> None:
        self._inbox, self._outbox = inbox, outbox
        self._held: dict[str, Identity] = {}
        self._backlog: deque[str] = deque()  # names that were found, and are not read yet
        self._guard = threading.Lock()  # protects _held, of the reader and of the writer
        self._stopping = False  # no Event: a signal handler must not wait for the lock of one
        try:
            for directory in (inbox, outbox):
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if inbox.samefile(outbox):
                raise HpcmlError(f"{inbox} cannot be both inbox and outbox: results would be items")
            self._file = os.open(inbox / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise HpcmlError(f"{error.filename} cannot be used: {error.strerror}") from error
        if not try_lock(self._file):
            os.close(self._file)
            raise HpcmlError(f"another server is at work on {inbox}: `lsof {inbox / LOCK}` names it")

    def read(self, limit: int, seconds: float) -> list[Item]:
        """See `hpcml.serving.items.Source`."""
        end, pause = time.monotonic() + seconds, SHORTEST_PAUSE_SECONDS
        while True:
            if len(self._backlog) < limit:  # to look at all names with each read costs more than the reads
                self._backlog = deque(self._new_names())
            names = [self._backlog.popleft() for _ in range(min(limit, len(self._backlog)))]
            items = [item for name in names if (item := self._item(name)) is not None]
            if items or time.monotonic() >= end or self._stopping:
                return items
            time.sleep(min(pause, max(0.0, end - time.monotonic())))
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _new_names(self) -> list[str]:
        """Return names of items that are not held, those first that have waited longest."""
        try:
            with os.scandir(self._inbox) as entries:
                names = [
                    entry.name
                    for entry in entries
                    if not (entry.name.startswith(".") or entry.is_dir(follow_symlinks=False))
                ]
        except OSError as error:
            raise HpcmlError(f"{self._inbox} cannot be read: {error.strerror}") from error
        with self._guard:
            fresh = [name for name in names if name not in self._held]
        return sorted(fresh, key=self._age_key)

    def _age_key(self, name: str) -> float:
        try:
            return (self._inbox / name).lstat().st_mtime
        except OSError:
            return 0.0

    def _item(self, name: str) -> Item | None:
        content, problem, path = b"", "", self._inbox / name
        try:
            identity = _identity(path)
        except OSError:
            return None  # its producer has taken it back
        try:
            content = _read(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            problem = f"{name} cannot be read: {error.strerror}"
        with self._guard:
            self._held[name] = identity
        return Item(name, content, time.time(), name, problem)

    def write(self, results: Sequence[tuple[Item, bytes]]) -> None:
        """See `hpcml.serving.items.Source`."""
        for item, content in results:
            problem = f"its result cannot be written to {self._outbox}"
            try:
                write_atomic(self._outbox / f"{item.place}.json", content + b"\n")
                problem = "the item, which has a result, cannot be removed"
                self._remove(item.place)
            except OSError as error:
                if error.errno not in ERRORS_OF_ONE_NAME:
                    raise HpcmlError(
                        f"the result of {item.place} cannot be written to {self._outbox}: {error.strerror}. The "
                        "item stays in the inbox"
                    ) from error
                # The name stays among those that are held, and is not read again.
                log.error("the item %r is left in %s: %s: %s", item.place, self._inbox, problem, error.strerror)

    def _remove(self, name: str) -> None:
        """Remove the file that was read; one that has taken its place is left, and read as a new item."""
        path = self._inbox / name
        try:
            if _identity(path) == self._held[name]:
                path.unlink()
        except FileNotFoundError:
            pass  # its producer has taken it back
        with self._guard:
            self._held.pop(name, None)

    def stop(self) -> None:
        """See `hpcml.serving.items.Source`."""
        self._stopping = True

    def close(self) -> None:
        """See `hpcml.serving.items.Source`."""
        os.close(self._file)


def _identity(path: Path) -> Identity:
    found = path.lstat()
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


def _read(path: Path) -> bytes:
    """Return the content of a file that is no link and no pipe, and not too large."""
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise OSError(0, "no file")
        if found.st_size > LARGEST_NBYTES:
            raise OSError(0, f"{found.st_size} bytes are too many")
        return file.read()
