"""Trial directory of an examination, made as that of a run is; it holds a file with a token, which is locked."""

import contextlib
import fcntl
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hpcml.commands.doctor.directories import TOKEN_FILE
from hpcml.errors import HpcmlError
from hpcml.journal.private_files import open_private
from hpcml.journal.runs import new_run_dir

__all__ = ["Trial", "trial_directory"]


@dataclass(frozen=True)
class Trial:
    """Trial directory, and what the driver has met there.

    Parameters
    ----------
    path
        The directory, which also holds the log of the probes.
    token
        Content of its file; "" where the directory is not in the working directory.
    error, lock_error
        Reasons why no directory can be made in the working directory, and why its file cannot be locked.
    """

    path: Path
    token: str = ""
    error: str = ""
    lock_error: str = ""

    @property
    def order(self) -> dict[str, str]:
        """The order to a node to look at the working directory and at the trial directory."""
        return {"directory": os.getcwd(), "trial": str(self.path), "token": self.token}


@contextmanager
def trial_directory(answers: bool = True, base: Path = Path(".hpcml")) -> Iterator[Trial]:
    """Make a trial directory in `base`, or in a temporary directory where that fails; remove it at the end.

    Parameters
    ----------
    answers
        Whether the working directory answers; if not, it is left alone.
    """
    with contextlib.ExitStack() as stack:
        existed = answers and base.exists()
        try:
            if not answers:
                raise HpcmlError("the working directory does not answer")
            directory = new_run_dir(base, "doctor")
        except HpcmlError as error:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hpcml-")))
            yield Trial(directory, error=str(error))
            return
        stack.callback(_remove, directory, None if existed else base)
        token = secrets.token_hex(16)
        descriptor, lock_error = _write_locked(directory / TOKEN_FILE, token)
        if descriptor >= 0:
            stack.callback(os.close, descriptor)
        mode = stat.S_IMODE(directory.lstat().st_mode)
        error_text = f"{directory} has mode {mode:04o}, although it was made with 0700" if mode & 0o077 else ""
        yield Trial(directory, token, error_text, lock_error)


def _remove(directory: Path, base: Path | None) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    if base is not None:
        with contextlib.suppress(OSError):
            base.rmdir()


def _write_locked(path: Path, token: str) -> tuple[int, str]:
    """Write a file and lock it; return its descriptor, -1 where it cannot be written, and the error."""
    try:
        descriptor = open_private(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    except (OSError, HpcmlError) as error:
        return -1, str(error)
    try:
        os.write(descriptor, token.encode())
        os.fsync(descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return descriptor, error.strerror or str(error)
    return descriptor, ""
