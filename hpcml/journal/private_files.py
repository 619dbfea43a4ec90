"""Directories and files that only their owner can read: where a run keeps its key and what it has done."""

import errno
import os
import secrets
import stat
import tempfile
from pathlib import Path

from hpcml.errors import HpcmlError

__all__ = ["check_directory", "create_secret", "open_private", "own_directory", "read_secret", "write_secret"]

SECRET_BYTES = 32


def check_directory(path: Path) -> None:
    """Raise HpcmlError unless `path` is a directory of this user's, no link, that nobody else can enter."""
    try:
        found = path.lstat()
    except OSError as error:
        raise HpcmlError(f"{path} cannot be used: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode):
        raise HpcmlError(f"{path} is a link or a file, where a directory is expected: remove it")
    _check(path, found, "700")


def own_directory(path: str) -> str:
    """Return `path`, or where that is no directory of this user's alone, not any more, a new one."""
    try:
        check_directory(Path(path))
    except HpcmlError:
        return tempfile.mkdtemp(prefix="hpcml-")
    return path


def open_private(path: Path, flags: int) -> int:
    """Open a file of this user's that nobody else can read, no link; one that is created has mode 0600.

    Raises
    ------
    HpcmlError
        It is a link, another user's, or open to others; the message says what to type.
    OSError
        It cannot be opened for another reason.
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
            os.fchmod(descriptor, 0o600)  # the umask may have taken more away
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _open(path: Path, flags: int) -> int:
    try:
        return os.open(path, flags, 0o600)
    except OSError as error:
        if error.errno != errno.ESTALE:  # NFS: the first open may meet a stale handle; retry once
            raise
    return os.open(path, flags, 0o600)


def _check(path: Path, found: os.stat_result, mode: str) -> None:
    if found.st_uid != os.getuid():
        raise HpcmlError(f"{path} belongs to user {found.st_uid}, not to you: remove it, or start a new run")
    if found.st_mode & 0o077:
        raise HpcmlError(
            f"{path} is open to other users (mode {stat.S_IMODE(found.st_mode):04o}), so what is in it cannot be "
            f"trusted. If nobody else has touched it: chmod {mode} '{path}'"
        )


def create_secret(path: Path) -> bytes:
    """Make a file with 256 random bits, mode 0600, and return them; what is there already is an error."""
    secret = secrets.token_bytes(SECRET_BYTES)
    write_secret(path, secret)
    return secret


def write_secret(path: Path, secret: bytes) -> None:
    """Make a file, mode 0600, that holds `secret`; what is there already is an error."""
    descriptor = open_private(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        if os.write(descriptor, secret) < len(secret):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(descriptor)  # other nodes may read it
    except BaseException:  # an empty key would be in the way of the next session
        path.unlink()
        raise
    finally:
        os.close(descriptor)


def read_secret(path: Path) -> bytes:
    """Return what `create_secret` has written to `path`.

    Raises
    ------
    HpcmlError
        It is missing, cut off, a link, another user's, or open to others.
    """
    try:
        descriptor = open_private(path, os.O_RDONLY)
    except OSError as error:
        raise HpcmlError(f"{path} cannot be read: {error.strerror}") from error
    with open(descriptor, "rb") as file:
        secret = file.read()
    if len(secret) != SECRET_BYTES:
        raise HpcmlError(f"{path} is no key: it has {len(secret)} bytes, not {SECRET_BYTES}. Start a new run")
    return secret
