"""A file that holds the state of a program: written whole or not at all, the one before kept, by one at a time."""

import contextlib
import errno
import fcntl
import hashlib
import logging
import os
import socket
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from hpcml.errors import HpcmlError
from hpcml.journal.private_files import open_private, write_new

__all__ = ["Checkpoint"]

log = logging.getLogger("hpcml")

# +--------------------------------------------------------------------------------------------------+
# | Raise the number when the state changes, or a module moves whose objects are pickled in it.         |
# | A file with another number is refused with a message, and never misread.                           |
# +--------------------------------------------------------------------------------------------------+
TITLE = b"hpcml checkpoint 3\n"
DIGEST_BYTES = 32
LOCK_TIMEOUT_SECONDS = 120.0  # NFS servers give up the locks of a silent client after 90 s


class Checkpoint:
    """Keeps the last state of a program, and the one before it.

    One process at a time: it holds a lock on a file that has ``.lock`` after its name, until `close`, the end of a
    ``with`` block, or its own end. File systems without locks do not tell of another process.

    Parameters
    ----------
    path
        The file; only its owner can read it. The one before has ``.previous`` after its name: it counts where the
        file is damaged. To begin anew, remove the file.
    every, every_seconds
        Of the states that are offered, every so many is kept, if so many seconds have passed since the last.

    Raises
    ------
    HpcmlError
        Nothing can be written there, or another process has this checkpoint.

    Examples
    --------
    >>> import tempfile
    >>> from hpcml.journal.checkpoint import Checkpoint
    >>> with tempfile.TemporaryDirectory() as place:
    ...     with Checkpoint(f"{place}/state") as checkpoint:
    ...         checkpoint.offer(lambda: b"generation 1")
    ...     with Checkpoint(f"{place}/state") as checkpoint:
    ...         checkpoint.read()
    b'generation 1'
    """

    def __init__(self, path: str | Path, every: int = 1, every_seconds: float = 0.0) -> None:
        if every < 1:
            raise ValueError(f"every={every}: a checkpoint is written after 1 state or more")
        self.path = Path(path)
        self._every = every
        self._every_seconds = every_seconds
        self._offered = 0
        self._written = time.monotonic()
        self._whole = False  # whether the file is known to be
        _check_place(self.path)
        self._lock = _Lock(self._beside("lock"), self.path)

    def __enter__(self) -> "Checkpoint":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the lock."""
        self._lock.release()

    def _beside(self, ending: str) -> Path:
        return self.path.with_name(f"{self.path.name}.{ending}")

    def exists(self) -> bool:
        """Tell whether there is a state to go on from."""
        return self.path.exists()

    def offer(self, state: Callable[[], bytes], last: bool = False) -> None:
        """Write the state if it is time to, or if it is the last."""
        self._offered += 1
        due = self._offered % self._every == 0 and time.monotonic() - self._written >= self._every_seconds
        if due or last:
            self.write(state)

    def write(self, state: Callable[[], bytes]) -> None:
        """Write the state now; a process that is killed meanwhile leaves the one before.

        Raises
        ------
        OSError
            There is no room, or no right to write there; what was there is untouched.
        """
        content = state()
        new, previous = self._beside("new"), self._beside("previous")
        new.unlink(missing_ok=True)  # of a process that was killed
        try:
            write_new(new, TITLE + _digest(content) + content)
            if not self.path.exists():  # a new run: what was before it is another's
                previous.unlink(missing_ok=True)
            elif self._whole or self._content(self.path) is not None:
                previous.unlink(missing_ok=True)
                os.link(self.path, previous)
            os.replace(new, self.path)
        finally:
            new.unlink(missing_ok=True)
        self._whole = True
        self._written = time.monotonic()

    def read(self) -> bytes:
        """Return the last state that is whole.

        Raises
        ------
        HpcmlError
            There is no file, or no state is whole; or one is a link, another user's, or open to others.
        """
        found = None
        if self.exists():
            for path in (self.path, self._beside("previous")):
                found = self._content(path)
                if found is not None:
                    return found
        raise HpcmlError(f"there is no checkpoint to go on from in {self.path}: remove the file to begin anew")

    def _content(self, path: Path) -> bytes | None:
        """Return what a file holds, None where it is damaged or not there."""
        try:
            with open(open_private(path, os.O_RDONLY), "rb") as file:
                content = file.read()
        except FileNotFoundError:
            return None
        start = len(TITLE) + DIGEST_BYTES
        if content.startswith(TITLE) and content[len(TITLE) : start] == _digest(content[start:]):
            return content[start:]
        log.warning("%s is damaged, or no checkpoint of this version", path)
        return None


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest()


def _check_place(path: Path) -> None:
    """Raise HpcmlError unless a file can be made there: better now than after the first hour."""
    place = path.absolute().parent
    if not place.is_dir():
        raise HpcmlError(f"the checkpoint {path} cannot be written: there is no directory {place}. Make it first")
    if path.is_dir():
        raise HpcmlError(f"the checkpoint {path} is a directory: give the name of a file")
    if not os.access(place, os.W_OK | os.X_OK):
        raise _not_writable(path, os.strerror(errno.EACCES))


def _not_writable(path: Path, why: str) -> HpcmlError:
    return HpcmlError(
        f"the checkpoint {path} cannot be written: nothing can be made in the directory "
        f"{path.absolute().parent}: {why}. Choose another"
    )


def _try(file: int) -> bool:
    """Lock a file, and tell whether nobody else holds it; file systems without locks do not know."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EWOULDBLOCK, errno.EACCES)
    return True


class _Lock:
    """Held by one process; the file stays, for another may wait to open it."""

    def __init__(self, path: Path, what: Path) -> None:
        self._file: int | None = None
        try:
            self._file = open_private(path, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise _not_writable(what, error.strerror or str(error)) from error
        try:
            self._take(what)
        except BaseException:
            self.release()
            raise
        _held.add(self)

    def _take(self, what: Path) -> None:
        """Wait for a process of another node, whose lock may outlive the node by a while (NFS); for no other."""
        assert self._file is not None
        until = time.monotonic() + LOCK_TIMEOUT_SECONDS
        while not _try(self._file):
            holder = os.pread(self._file, 200, 0).decode(errors="replace") or "another process"
            if holder.endswith(f" on {socket.gethostname()}") or time.monotonic() > until:
                raise HpcmlError(
                    f"{holder} is at work with the checkpoint {what}: wait for its end, or give another. In the "
                    "same process, close the evolution that was left: its generator has a method close()"
                )
            log.info("%s is at work with the checkpoint %s: waiting for its end", holder, what)
            time.sleep(min(1.0, LOCK_TIMEOUT_SECONDS))
        with contextlib.suppress(OSError):  # it only serves the message
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)

    def release(self) -> None:
        """Release the lock."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    __del__ = release


_held: "weakref.WeakSet[_Lock]" = weakref.WeakSet()


def _release_in_child() -> None:
    """Leave the locks to the parent: a child of fork() that outlives it would hold them."""
    for lock in list(_held):
        lock.release()


os.register_at_fork(after_in_child=_release_in_child)
