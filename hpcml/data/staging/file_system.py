"""Staging of shared data where it is needed: on this computer, and on a shared file system.

Each class here is a `hpcml.data.staging.store.Staging`; `hpcml.data.staging.sbcast` has the one that sends data to
nodes. The directories on the nodes belong to an engine's launcher there, or to this process
(`hpcml.data.staging.directories.DataDirectories`); the classes here only write files to them.
"""

import contextlib
import errno
import logging
import mmap
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import BinaryIO

from hpcml.data.staging.files import OpenCopies, unverified_path
from hpcml.data.staging.store import Parts
from hpcml.errors import CommandError, DataError

__all__ = [
    "FirstWithSpace",
    "LocalStaging",
    "SharedStaging",
    "failure_reason",
    "make_shared",
    "total_nbytes",
    "write_all",
    "write_file",
]

log = logging.getLogger("hpcml")

_SBCAST_FAILURE = "REQUEST_FILE_BCAST"  # begin of sbcast's message for a node that has failed
_TRY_NEXT = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT), _SBCAST_FAILURE)  # another directory may do
WRITE_NBYTES = 1 << 24  # written at once, so that Ctrl-C interrupts


def total_nbytes(content: Parts) -> int:
    """Return the number of bytes of all parts together."""
    return sum(part.nbytes for part in content)


def write_all(file: BinaryIO, content: Parts) -> None:
    """Write the whole content to an unbuffered file."""
    for part in content:
        for start in range(0, part.nbytes, WRITE_NBYTES):
            rest = part[start : start + WRITE_NBYTES]
            while rest:
                rest = rest[file.write(rest) :]


def write_file(path: str, content: Parts) -> None:
    """Write a file, mode 0600, that has its name only when it is complete."""
    part = unverified_path(path)
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb", buffering=0) as file:
            write_all(file, content)
        os.rename(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(part)
        raise


def make_shared(directory: str) -> str:
    """Make a directory for data on a file system that nodes share, mode 0700, and return it."""
    try:
        os.mkdir(directory, 0o700)
    except OSError as error:
        raise DataError(f"data cannot be put there: {error}. Pass another Cluster(data_dir=…)") from error
    return directory


class FirstWithSpace:
    """Tries one directory after the other, and warns the first time that the best has no space."""

    def __init__(self, directories: Sequence[str]) -> None:
        self.directories = tuple(directories)
        self._warned = False

    def try_each(
        self,
        put: Callable[[str], None],
        name: str,
        nbytes: int,
        free_bytes: Mapping[str, Mapping[str, int]],
    ) -> str:
        """Return the path at which `put` succeeded. Raises DataError when no directory has space.

        `free_bytes` has the free bytes of the directories of each node, where they are known.
        """
        failures: list[str] = []
        for directory in self.directories:
            path = os.path.join(directory, name)
            try:
                _check_space(directory, nbytes, free_bytes)
                put(path)
            except (OSError, CommandError) as error:
                failures.append(f"{directory}: {failure_reason(error)}")
                if not any(words in str(error) for words in _TRY_NEXT):
                    break
            else:
                self._warn(failures, directory, nbytes)
                return path
        advice = "Name another directory that you can write to"
        if not failures or any(words in failures[-1] for words in _TRY_NEXT):
            advice = "Ask for nodes with more memory, or name a directory that all nodes share"
        raise DataError(
            f"{nbytes:,} bytes of data cannot be put on the nodes:\n    "
            + "\n    ".join(failures or ["no directory"])
            + f"\n{advice}: Cluster(data_dir=…)"
        )

    def _warn(self, failures: list[str], used: str, nbytes: int) -> None:
        if failures and not self._warned:
            self._warned = True
            log.warning("no room for %s bytes of data in %s; using %s", f"{nbytes:,}", "; ".join(failures), used)


def _check_space(directory: str, nbytes: int, free_bytes: Mapping[str, Mapping[str, int]]) -> None:
    """Raise OSError with the nodes that have too little space; sbcast itself says only that something failed."""
    short = {node: free[directory] for node, free in free_bytes.items() if free.get(directory, nbytes) < nbytes}
    if short:
        said = ", ".join(f"{node}: {free:,} bytes free" for node, free in short.items())
        raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)} ({said})")


def failure_reason(error: Exception) -> str:
    """Return the reason of a failure; of sbcast's output, the lines that name a node: ``n2: No space left …``."""
    nodes = re.findall(_SBCAST_FAILURE + r"\((\S+)\): (.+)", str(error))
    if nodes:
        return ", ".join(f"{node}: {reason}" for node, reason in nodes)
    if isinstance(error, OSError) and error.filename is None and error.strerror:
        return error.strerror
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)


class LocalStaging:
    """Staging on this computer alone: data is written where the workers open it.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     path, _ = LocalStaging([directory]).put("data", [memoryview(b"12345")])
    ...     Path(path).read_text()
    '12345'
    """

    distant = False

    def __init__(self, directories: Sequence[str], renew: Callable[[], object] = lambda: None) -> None:
        self._directories = FirstWithSpace(directories)
        self._renew = renew
        self._copies = OpenCopies()

    def put(self, name: str, content: Parts) -> tuple[str, str]:
        """Write the file; see `hpcml.data.staging.store.Staging`."""
        path = self._directories.try_each(lambda path: self._write(path, content), name, total_nbytes(content), {})
        self._copies.keep(path)
        return path, ""

    def _write(self, path: str, content: Parts) -> None:
        try:
            write_file(path, content)
        except FileNotFoundError:  # the directory was removed
            self._renew()
            write_file(path, content)

    def put_again(self, path: str) -> None:
        """Write the file again from its open copy; see `hpcml.data.staging.store.Staging`."""
        copy = self._copies.get(path)
        try:
            if copy is None:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)  # it may be cut off
            with mmap.mmap(copy, 0, access=mmap.ACCESS_READ) as content, memoryview(content) as whole:
                self._write(path, [whole])
        except (OSError, ValueError) as error:
            raise DataError(
                f"{path} was removed while tasks needed it, by something that cleans up there, and cannot be "
                f"written again: {error}. The next call writes it anew; Cluster(data_dir=…) puts it elsewhere"
            ) from error
        self._copies.keep(path)

    def remove(self, path: str) -> None:
        """Remove the file."""
        self._copies.drop(path)
        with contextlib.suppress(OSError):
            os.unlink(path)


class SharedStaging:
    """Staging on a file system that all nodes share: one file there, and a link in each node's own directory.

    Parameters
    ----------
    shared
        The directory on the shared file system.
    directory
        The directory that each node has of its own.
    remove_link
        Removes a path on all nodes, later.
    renew_links
        Makes the directories of all nodes again, where they were removed.
    """

    distant = True

    def __init__(
        self,
        shared: str,
        directory: str,
        remove_link: Callable[[str], None],
        renew_links: Callable[[], object] = lambda: None,
    ) -> None:
        self._local = LocalStaging([shared], lambda: make_shared(shared))
        self._shared = shared
        self._directory = directory
        self._remove_link = remove_link
        self._renew_links = renew_links

    def put(self, name: str, content: Parts) -> tuple[str, str]:
        """Write the file; see `hpcml.data.staging.store.Staging`."""
        return os.path.join(self._directory, name), self._local.put(name, content)[0]

    def put_again(self, path: str) -> None:
        """Write the file again where it is missing, and make the directories of the nodes again."""
        self._renew_links()
        self._local.put_again(os.path.join(self._shared, os.path.basename(path)))

    def remove(self, path: str) -> None:
        """Remove the file and the links."""
        self._local.remove(os.path.join(self._shared, os.path.basename(path)))
        self._remove_link(path)
