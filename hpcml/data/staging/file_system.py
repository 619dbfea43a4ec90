"""Staging of shared data where it is needed: on this computer, and on a shared file system.

Each class here is a `hpcml.data.staging.store.Staging`; `hpcml.data.staging.sbcast` has the one that sends data to
nodes. The directories on the nodes belong to whoever runs there, an engine's launcher or this process
(`hpcml.data.staging.directories.DataDirectories`); here they are only filled.
"""

import contextlib
import errno
import logging
import mmap
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import BinaryIO

from hpcml.data.staging.files import Copies, unverified_path
from hpcml.data.staging.store import Parts
from hpcml.errors import CommandError, DataError

__all__ = [
    "FirstWithSpace",
    "LocalStaging",
    "SharedStaging",
    "make_shared",
    "reason",
    "size",
    "write_all",
    "write_file",
]

log = logging.getLogger("hpcml")

_REFUSED = "REQUEST_FILE_BCAST"  # how sbcast begins when a node has failed
PASSES_ON = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT), _REFUSED)  # another place may do
BLOCK = 1 << 24  # bytes written at once, so that Ctrl-C interrupts


def size(content: Parts) -> int:
    """Return the bytes of all parts together."""
    return sum(part.nbytes for part in content)


def write_all(file: BinaryIO, content: Parts) -> None:
    """Write the whole content to an unbuffered file."""
    for part in content:
        for start in range(0, part.nbytes, BLOCK):
            rest = part[start : start + BLOCK]
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
    """Tries one directory after the other, and warns the first time that the best has no room."""

    def __init__(self, directories: Sequence[str]) -> None:
        self.directories = tuple(directories)
        self._warned = False

    def try_each(
        self,
        put: Callable[[str], None],
        name: str,
        nbytes: int,
        room: Mapping[str, Mapping[str, int]],
    ) -> str:
        """Return the path at which `put` succeeded. Raises DataError when no directory has room.

        `room` says how many bytes the directories of each node can take, where that is known.
        """
        said = []
        for directory in self.directories:
            path = os.path.join(directory, name)
            try:
                _check_room(directory, nbytes, room)
                put(path)
            except (OSError, CommandError) as error:
                said.append(f"{directory}: {reason(error)}")
                if not any(words in str(error) for words in PASSES_ON):
                    break
            else:
                self._warn(said, directory, nbytes)
                return path
        advice = "Name another directory that you can write to"
        if not said or any(words in said[-1] for words in PASSES_ON):
            advice = "Ask for nodes with more memory, or name a directory that all nodes share"
        raise DataError(
            f"{nbytes:,} bytes of data cannot be put on the nodes:\n    "
            + "\n    ".join(said or ["no directory"])
            + f"\n{advice}: Cluster(data_dir=…)"
        )

    def _warn(self, said: list[str], used: str, nbytes: int) -> None:
        if said and not self._warned:
            self._warned = True
            log.warning("no room for %s bytes of data in %s; using %s", f"{nbytes:,}", "; ".join(said), used)


def _check_room(directory: str, nbytes: int, room: Mapping[str, Mapping[str, int]]) -> None:
    """Raise OSError, with the nodes that have not enough; sbcast itself says only that something failed."""
    short = {node: free[directory] for node, free in room.items() if free.get(directory, nbytes) < nbytes}
    if short:
        said = ", ".join(f"{node}: {free:,} bytes free" for node, free in short.items())
        raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)} ({said})")


def reason(error: Exception) -> str:
    """Return what failed: of sbcast's output the lines that name a node, as ``n2: No space left on device``."""
    nodes = re.findall(_REFUSED + r"\((\S+)\): (.+)", str(error))
    if nodes:
        return ", ".join(f"{node}: {reason}" for node, reason in nodes)
    if isinstance(error, OSError) and error.filename is None and error.strerror:
        return error.strerror
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)


class LocalStaging:
    """This computer alone: data is written where the workers open it.

    Examples
    --------
    >>> import tempfile
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     path, _ = LocalStaging([directory]).put("data", [memoryview(b"12345")])
    ...     Path(path).read_text()
    '12345'
    """

    distant = False

    def __init__(self, directories: Sequence[str], renew: Callable[[], object] = lambda: None) -> None:
        self._places = FirstWithSpace(directories)
        self._renew = renew
        self._copies = Copies()

    def put(self, name: str, content: Parts) -> tuple[str, str]:
        """Write the file; see `hpcml.data.staging.store.Staging`."""
        path = self._places.try_each(lambda path: self._write(path, content), name, size(content), {})
        self._copies.keep(path)
        return path, ""

    def _write(self, path: str, content: Parts) -> None:
        try:
            write_file(path, content)
        except FileNotFoundError:  # the directory was removed
            self._renew()
            write_file(path, content)

    def put_again(self, path: str) -> None:
        """Write the file again from the copy that is held open; see `hpcml.data.staging.store.Staging`."""
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
    """A file system that all nodes share: one file there, and a link to it in each node's own directory.

    Parameters
    ----------
    shared
        The directory on the shared file system.
    directory
        The directory that each node has of its own.
    remove_link
        Removes a path on all nodes, later.
    renew_links
        Has all nodes make their directory again, where it was removed.
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
        """Write the file again where it is gone, and have the nodes make their directories again."""
        self._renew_links()
        self._local.put_again(os.path.join(self._shared, os.path.basename(path)))

    def remove(self, path: str) -> None:
        """Remove the file and the links."""
        self._local.remove(os.path.join(self._shared, os.path.basename(path)))
        self._remove_link(path)
