"""Checkpoint: a file that holds the state of a program, written whole or not at all, by one process at a time."""

import errno
import hashlib
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from hpcml.errors import HpcmlError
from hpcml.journal.checkpoint_lock import CheckpointLock, not_writable_error
from hpcml.journal.private_files import open_private, write_new

__all__ = ["Checkpoint"]

log = logging.getLogger("hpcml")

# +--------------------------------------------------------------------------------------------------+
# | Raise the number when the state changes, or a module moves whose objects are pickled in it.         |
# | A file with another number is refused with a message, and never misread.                           |
# +--------------------------------------------------------------------------------------------------+
TITLE = b"hpcml checkpoint 3\n"
DIGEST_BYTES = 32


class Checkpoint:
    """Checkpoint of a program: its last state, and the state before that.

    One process at a time has the checkpoint. It holds a lock on a file that has ``.lock`` after its name, until
    `close`, the end of a ``with`` block, or its own end. On a file system without locks, another process is not
    noticed.

    Parameters
    ----------
    path
        The file; only its owner can read it. The state before is in a file that has ``.previous`` after its name,
        and is used where the file is damaged. To begin anew, remove the file.
    every, every_seconds
        Of the states that are offered, every so many is written, if so many seconds have passed since the last.

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
        self._written_at = time.monotonic()
        self._written_whole = False  # by this process: then the file need not be read before it is kept
        _check_directory(self.path)
        self._lock = CheckpointLock(self._beside("lock"), self.path)

    def __enter__(self) -> "Checkpoint":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the lock, so that another process can have the checkpoint."""
        self._lock.release()

    def _beside(self, ending: str) -> Path:
        return self.path.with_name(f"{self.path.name}.{ending}")

    def exists(self) -> bool:
        """Return whether there is a state to resume from."""
        return self.path.exists()

    def offer(self, state: Callable[[], bytes], last: bool = False) -> None:
        """Write the state if it is time to, or if it is the last."""
        self._offered += 1
        due = self._offered % self._every == 0 and time.monotonic() - self._written_at >= self._every_seconds
        if due or last:
            self.write(state)

    def write(self, state: Callable[[], bytes]) -> None:
        """Write the state now; if the process is killed meanwhile, the state before is left.

        Raises
        ------
        OSError
            There is no room, or no right to write there; the former files are untouched.
        """
        content = state()
        new = self._beside("new")
        previous = self._beside("previous")
        new.unlink(missing_ok=True)  # left by a process that was killed
        try:
            write_new(new, TITLE + _digest(content) + content)
            if not self.path.exists():
                # This program begins anew: the previous state is another's.
                previous.unlink(missing_ok=True)
            elif self._written_whole or self._content(self.path) is not None:
                previous.unlink(missing_ok=True)
                os.link(self.path, previous)
            os.replace(new, self.path)
        finally:
            new.unlink(missing_ok=True)
        self._written_whole = True
        self._written_at = time.monotonic()

    def read(self) -> bytes:
        """Return the last state that is whole.

        Raises
        ------
        HpcmlError
            There is no file, or no state is whole; or one is a link, another user's, or open to others.
        """
        if self.exists():
            for path in (self.path, self._beside("previous")):
                found = self._content(path)
                if found is not None:
                    return found
        raise HpcmlError(f"there is no checkpoint to resume from in {self.path}: remove the file to begin anew")

    def _content(self, path: Path) -> bytes | None:
        """Return the state in a file, None where the file is damaged or does not exist."""
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


def _check_directory(path: Path) -> None:
    """Raise HpcmlError unless a file can be made at `path`: better now than after the first hour."""
    directory = path.absolute().parent
    if not directory.is_dir():
        raise HpcmlError(
            f"the checkpoint {path} cannot be written: there is no directory {directory}. Make it first"
        )
    if path.is_dir():
        raise HpcmlError(f"the checkpoint {path} is a directory: give the name of a file")
    if not os.access(directory, os.W_OK | os.X_OK):
        raise not_writable_error(path, os.strerror(errno.EACCES))
