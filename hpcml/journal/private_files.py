"""Directories and files that only their owner can read: those of a run, with its key and its journal."""

import contextlib
import errno
import os
import secrets
import socket
import stat
import tempfile
import uuid
from pathlib import Path

from hpcml.errors import HpcmlError

__all__ = [
    "check_directory",
    "create_secret",
    "open_private",
    "own_directory",
    "read_private",
    "read_secret",
    "refresh_names",
    "sync_directory",
    "temporary_path",
    "write_atomic",
    "write_new",
]

SECRET_BYTES = 32
MAX_NAME_PART = 30  # characters of a file's name in that of its temporary file, which has at most 255 bytes


def check_directory(path: Path) -> None:
    """Raise HpcmlError unless `path` is a directory of this user, no link, that no other user can enter."""
    try:
        found = path.lstat()
    except OSError as error:
        raise HpcmlError(f"{path} cannot be used: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode):
        raise HpcmlError(f"{path} is a link or a file, where a directory is expected: remove it")
    _check(path, found, "700")


def own_directory(path: str) -> str:
    """Return `path`, or a new temporary directory where `path` is not a directory of this user alone."""
    try:
        check_directory(Path(path))
    except HpcmlError:
        return tempfile.mkdtemp(prefix="hpcml-")
    return path


def open_private(path: Path, flags: int) -> int:
    """Open a file of this user, no link, that no other user can read; a file that is created has mode 0600.

    Raises
    ------
    HpcmlError
        The file is a link, another user's, or open to others; the message says what to type.
    OSError
        The file cannot be opened for another reason.
    """
    try:
        descriptor = _open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        if path.is_symlink():
            raise HpcmlError(f"{path} is a link: remove it") from error
        if isinstance(error, PermissionError) and path.exists():
            _check(path, path.lstat(), "600")
        raise
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise HpcmlError(f"{path} is not a file: remove it")
        _check(path, found, "600")
        if flags & os.O_CREAT and flags & os.O_EXCL:
            os.fchmod(descriptor, 0o600)  # the umask may have removed even the owner's rights
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _open(path: Path, flags: int) -> int:
    try:
        return os.open(path, flags, 0o600)
    except OSError as error:
        # NFS: the first open may meet a stale handle; retry once.
        if error.errno != errno.ESTALE:
            raise
    return os.open(path, flags, 0o600)


def _check(path: Path, found: os.stat_result, mode: str) -> None:
    if found.st_uid != os.getuid():
        raise HpcmlError(f"{path} belongs to user {found.st_uid}, not to you: remove it, or start a new run")
    if found.st_mode & 0o077:
        raise HpcmlError(
            f"{path} is open to other users (mode {stat.S_IMODE(found.st_mode):04o}), so what is in it cannot be "
            f"trusted. If no other user has changed it: chmod {mode} '{path}'"
        )


def write_new(path: Path, content: bytes) -> None:
    """Make a file, mode 0600, with `content` on the disk; nothing is left of a file that cannot be written whole.

    Raises
    ------
    FileExistsError
        There is such a file.
    OSError
        There is no room, or no right to write there.
    """
    descriptor = open_private(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def sync_directory(directory: Path) -> None:
    """Bring the names of a directory's files to the disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def temporary_path(path: Path) -> Path:
    """Return a hidden name beside `path` that no other process of any host uses."""
    return path.with_name(f".{path.name[:MAX_NAME_PART]}-{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex}")


def write_atomic(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Make or replace a file: a reader sees the former content or the new one, and both whole.

    Raises
    ------
    OSError
        There is no room, or no right to write there; the former file is untouched.
    """
    temporary = temporary_path(path)
    write_new(temporary, content)
    try:
        if mode != 0o600:
            temporary.chmod(mode)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def refresh_names(directory: Path) -> None:
    """Make this computer see the files that other nodes have just made in a directory.

    NFS keeps the names of a directory for up to a minute, and asks for these again after a change of its own.
    """
    marker = temporary_path(directory / "look")
    with contextlib.suppress(OSError):
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        marker.unlink()


def create_secret(path: Path) -> bytes:
    """Make a file with 256 random bits, mode 0600, and return them; an existing file is an error."""
    secret = secrets.token_bytes(SECRET_BYTES)
    write_new(path, secret)
    return secret


def read_private(path: Path, advice: str = "") -> bytes:
    """Return the content of a file of this user that no other user can read; see `open_private`.

    Parameters
    ----------
    advice
        Sentence at the end of the message where the file cannot be read.

    Raises
    ------
    HpcmlError
        The file is missing, a link, another user's, or open to others.
    """
    try:
        descriptor = open_private(path, os.O_RDONLY)
    except OSError as error:
        raise HpcmlError(
            f"{path} cannot be read on {socket.gethostname()}: {error.strerror}{advice and '. '}{advice}"
        ) from error
    with open(descriptor, "rb") as file:
        return file.read()


def read_secret(path: Path) -> bytes:
    """Return the bits that `create_secret` has written to `path`.

    Raises
    ------
    HpcmlError
        The file is missing, cut off, a link, another user's, or open to others.
    """
    secret = read_private(path)
    if len(secret) != SECRET_BYTES:
        raise HpcmlError(f"{path} is no key: it has {len(secret)} bytes, not {SECRET_BYTES}. Start a new run")
    return secret
