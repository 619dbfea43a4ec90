"""A file that holds the state of a program: written whole or not at all, the one before kept."""

import contextlib
import hashlib
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from hpcml.errors import HpcmlError
from hpcml.private import open_private

__all__ = ["Checkpoint"]

log = logging.getLogger("hpcml")

TITLE = b"hpcml checkpoint 1\n"
DIGEST_BYTES = 32


class Checkpoint:
    """Keeps the last state of a program, and the one before it.

    Parameters
    ----------
    path
        The file; only its owner can read it. The one before has ``.previous`` after its name.
    every, every_seconds
        Of the states that are offered, every so many is kept, if so many seconds have passed since the last.

    Examples
    --------
    >>> import tempfile
    >>> from hpcml.checkpoint import Checkpoint
    >>> with tempfile.TemporaryDirectory() as place:
    ...     checkpoint = Checkpoint(f"{place}/state")
    ...     checkpoint.offer(lambda: b"generation 1")
    ...     Checkpoint(f"{place}/state").read()
    b'generation 1'
    """

    def __init__(self, path: str | Path, every: int = 1, every_seconds: float = 0.0) -> None:
        if every < 1:
            raise ValueError(f"every={every}: a checkpoint is written after 1 state or more")
        self.path = Path(path)
        self._every, self._every_seconds = every, every_seconds
        self._offered, self._written = 0, time.monotonic()

    @property
    def _previous(self) -> Path:
        return self.path.with_name(self.path.name + ".previous")

    def exists(self) -> bool:
        """Tell whether there is a state to go on from."""
        return self.path.exists() or self._previous.exists()

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
        new = self.path.with_name(f"{self.path.name}.new-{os.getpid()}")
        with contextlib.suppress(FileNotFoundError):
            new.unlink()
        try:
            with open(open_private(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as file:
                file.write(TITLE + _digest(content) + content)
                file.flush()
                os.fsync(file.fileno())
            if self.path.exists():
                with contextlib.suppress(FileNotFoundError):
                    self._previous.unlink()
                os.link(self.path, self._previous)
            os.replace(new, self.path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                new.unlink()
        self._written = time.monotonic()

    def read(self) -> bytes:
        """Return the last state that is whole.

        Raises
        ------
        HpcmlError
            No file is whole; or one is a link, another user's, or open to others.
        """
        for path in (self.path, self._previous):
            try:
                with open(open_private(path, os.O_RDONLY), "rb") as file:
                    content = file.read()
            except FileNotFoundError:
                continue
            start = len(TITLE) + DIGEST_BYTES
            if content.startswith(TITLE) and content[len(TITLE) : start] == _digest(content[start:]):
                return content[start:]
            log.warning("%s is damaged, or no checkpoint of this version", path)
        raise HpcmlError(f"there is no checkpoint to go on from in {self.path}: remove the file to begin anew")


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest()
