"""Cache of the archives of virtual environments: an environment that has not changed is packed once.

The cache is ``hpcml/environments`` in ``XDG_CACHE_HOME`` or ``~/.cache``, mode 0700. It holds the last archive of
each environment. One process at a time writes there.
"""

import contextlib
import errno
import fcntl
import os
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from hpcml.data.digests import digest
from hpcml.data.staging.environment import Entry, Python, entries, fingerprint, write_archive

__all__ = ["cache_directory", "open_archive"]

LOCK_TIMEOUT_SECONDS = 300.0  # for another process that packs


def cache_directory(environment: Mapping[str, str]) -> Path:
    """Return the directory of the cache.

    Examples
    --------
    >>> from hpcml.data.staging.environment_cache import cache_directory
    >>> cache_directory({"XDG_CACHE_HOME": "/scratch/me/cache"})
    PosixPath('/scratch/me/cache/hpcml/environments')
    """
    named = environment.get("XDG_CACHE_HOME", "")
    base = Path(named) if os.path.isabs(named) else Path("~/.cache").expanduser()
    return base / "hpcml" / "environments"


def open_archive(python: Python, cache: Path, scratch: Sequence[str]) -> tuple[BinaryIO, bool]:
    """Return the archive of an environment, opened, and whether it has been written now.

    An archive that cannot be kept in the cache is written to a file without a name in one of `scratch`.

    Raises
    ------
    OSError
        The environment cannot be read, or no directory has room.
    """
    found = list(entries(python))
    about = digest(python.prefix.encode())[:16]
    path = cache / f"{about}-{fingerprint(found)}.tar"
    failure: OSError | None = None
    try:
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_own(cache.lstat())
        with _locked(cache / "lock"):
            with contextlib.suppress(OSError):
                return _open_own(path), False
            _write(path, found, python)
            for other in cache.glob(f"{about}-*"):
                if other != path:
                    other.unlink(missing_ok=True)
            return _open_own(path), True
    except OSError as error:
        failure = error
    for place in scratch:
        with contextlib.suppress(OSError):
            file = tempfile.TemporaryFile(dir=place)  # noqa: SIM115  # the caller's
            write_archive(file, found, python)
            file.seek(0)
            return file, True
    raise failure


def _write(path: Path, found: Sequence[Entry], python: Python) -> None:
    """Write a file that has its name only when it is complete; the caller holds the lock."""
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            write_archive(file, found, python)
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _open_own(path: Path) -> BinaryIO:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _check_own(os.fstat(descriptor))
        return open(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _check_own(found: os.stat_result) -> None:
    """Raise PermissionError where another user could have written what is there."""
    if found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise PermissionError(errno.EACCES, "not this user's alone")


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock; raise TimeoutError after `LOCK_TIMEOUT_SECONDS`."""
    deadline = time.monotonic() + LOCK_TIMEOUT_SECONDS
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        while True:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            if time.monotonic() > deadline:
                raise TimeoutError(f"{path} is locked by another process")
            time.sleep(0.2)
        yield
    finally:
        os.close(lock)
