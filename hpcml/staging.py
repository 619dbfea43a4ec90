"""How shared data comes to the nodes: by ``sbcast``, on a shared file system, or where it is needed already.

Each class is a `hpcml.store.Staging`. The directories on the nodes belong to whoever runs there, an engine's
launcher or this process (`hpcml.datafiles.DataDirectories`); here they are only filled.
"""

import contextlib
import errno
import logging
import os
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import BinaryIO

from hpcml.datafiles import delivered
from hpcml.errors import CommandError, DataError
from hpcml.process import run
from hpcml.srun import sbcast

__all__ = ["LocalStaging", "SbcastStaging", "SharedStaging", "make_shared", "write_file"]

log = logging.getLogger("hpcml")

FULL = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT))
BLOCK = 1 << 24  # bytes written at once, so that Ctrl-C is heard
SLOWEST = 1e7  # bytes per second; slower, and a transfer is given up


def _write(file: BinaryIO, content: memoryview) -> None:
    for start in range(0, content.nbytes, BLOCK):
        rest = content[start : start + BLOCK]
        while rest:
            rest = rest[file.write(rest) :]


def write_file(path: str, content: memoryview) -> None:
    """Write a file, mode 0600, that has its name only when it is complete."""
    part = delivered(path)
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb", buffering=0) as file:
            _write(file, content)
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


class _FirstWithRoom:
    """Tries one directory after the other, and warns the first time that the best has no room."""

    def __init__(self, directories: Sequence[str]) -> None:
        self.directories = tuple(directories)
        self._warned = False

    def try_each(self, put: Callable[[str], None], name: str, nbytes: int) -> str:
        """Return the path at which `put` succeeded. Raises DataError when no directory has room."""
        said = []
        for directory in self.directories:
            path = os.path.join(directory, name)
            try:
                put(path)
            except (OSError, CommandError) as error:
                said.append(f"{directory}: {_reason(error)}")
                if not any(reason in str(error) for reason in FULL):
                    break
            else:
                self._warn(said, directory, nbytes)
                return path
        raise DataError(
            f"{nbytes:,} bytes of data cannot be put on the nodes:\n    "
            + "\n    ".join(said or ["no directory"])
            + "\nAsk for nodes with more memory, or name a directory that all nodes share: Cluster(data_dir=…)"
        )

    def _warn(self, said: list[str], used: str, nbytes: int) -> None:
        if said and not self._warned:
            self._warned = True
            log.warning("no room for %s bytes of data in %s; using %s", f"{nbytes:,}", "; ".join(said), used)


def _reason(error: Exception) -> str:
    """Return what failed: of sbcast's output the lines that name a node, as ``n2: No space left on device``."""
    nodes = re.findall(r"REQUEST_FILE_BCAST\((\S+)\): (.+)", str(error))
    if nodes:
        return ", ".join(f"{node}: {reason}" for node, reason in nodes)
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)


class LocalStaging:
    """This computer alone: data is written where the workers open it.

    Examples
    --------
    >>> import tempfile
    >>> from hpcml.staging import LocalStaging
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     path, _ = LocalStaging([directory]).put("data", memoryview(b"12345"))
    ...     open(path).read()
    '12345'
    """

    def __init__(self, directories: Sequence[str]) -> None:
        self._places = _FirstWithRoom(directories)

    def put(self, name: str, content: memoryview) -> tuple[str, str]:
        """Write the file; see `hpcml.store.Staging`."""
        path = self._places.try_each(lambda path: write_file(path, content), name, content.nbytes)
        return path, ""

    def put_again(self, path: str) -> None:
        """Raise DataError: there was but one copy."""
        raise DataError(f"{path} was removed while tasks needed it: something on this computer cleans up there")

    def remove(self, path: str) -> None:
        """Remove the file."""
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
    """

    def __init__(self, shared: str, directory: str, remove_link: Callable[[str], None]) -> None:
        self._local = LocalStaging([shared])
        self._shared, self._directory, self._remove_link = shared, directory, remove_link

    def put(self, name: str, content: memoryview) -> tuple[str, str]:
        """Write the file; see `hpcml.store.Staging`."""
        return os.path.join(self._directory, name), self._local.put(name, content)[0]

    def put_again(self, path: str) -> None:
        """Raise DataError: there was but one copy."""
        self._local.put_again(path)

    def remove(self, path: str) -> None:
        """Remove the file and the links."""
        self._local.remove(os.path.join(self._shared, os.path.basename(path)))
        self._remove_link(path)


class SbcastStaging:
    """Slurm's own broadcast to the nodes of a step: each node receives the data once, from its neighbour.

    Parameters
    ----------
    steps
        The steps, as ``job.step``, whose nodes have `directories`; several in a heterogeneous job.
    directories
        Directories that each of the nodes has of its own, the best first.
    scratch
        Directories of this host, for the file that is sent; it has no name there, so none can stay behind.
    remove
        Removes a path on all nodes, later.
    """

    def __init__(
        self,
        steps: Sequence[str],
        directories: Sequence[str],
        scratch: Sequence[str],
        environment: Mapping[str, str],
        remove: Callable[[str], None],
    ) -> None:
        self._steps, self._scratch, self._environment = tuple(steps), tuple(scratch), environment
        self._places = _FirstWithRoom(directories)
        self._remove = remove
        self._sources: dict[str, BinaryIO] = {}  # by path: what may have to be sent again

    def put(self, name: str, content: memoryview) -> tuple[str, str]:
        """Send the content; see `hpcml.store.Staging`."""
        source = self._write_source(content)

        def _send(path: str) -> None:
            try:
                self._send(source, path)
            except BaseException:
                self._remove(path)
                raise

        try:
            path = self._places.try_each(_send, name, content.nbytes)
        except BaseException:
            source.close()
            raise
        if os.path.exists(delivered(path)) or os.path.exists(path):
            source.close()  # this host is one of the nodes: its copy can be sent again
        else:
            self._sources[path] = source
        return path, ""

    def _write_source(self, content: memoryview) -> BinaryIO:
        said = []
        for place in self._scratch:
            try:
                source: BinaryIO = tempfile.TemporaryFile(dir=place, buffering=0)  # noqa: SIM115  # the caller's
                _write(source, content)
                return source
            except OSError as error:  # the file has no name: closed by the collector, it is gone
                said.append(f"{place}: {_reason(error)}")
        raise DataError(
            f"{content.nbytes:,} bytes of data cannot be written on this host, to be sent to the nodes:\n    "
            + "\n    ".join(said)
            + "\nSet TMPDIR to a directory with room, or name one that all nodes share: Cluster(data_dir=…)"
        )

    def _send(self, source: BinaryIO, path: str) -> None:
        descriptor = source.fileno()
        limit = 60 + os.fstat(descriptor).st_size / SLOWEST
        for step in self._steps:
            command = sbcast(step, f"/proc/self/fd/{descriptor}", delivered(path))
            run(command, self._environment, timeout=limit, inherit=[descriptor])

    def put_again(self, path: str) -> None:
        """Send a file once more, to all nodes; see `hpcml.store.Staging`."""
        source = self._sources.get(path)
        try:
            if source is not None:
                self._send(source, path)
            else:
                with open(path if os.path.exists(path) else delivered(path), "rb", buffering=0) as copy:
                    self._send(copy, path)
        except (OSError, CommandError) as error:
            raise DataError(f"{path} is missing on a node and cannot be sent again: {error}") from error

    def remove(self, path: str) -> None:
        """Remove the file on all nodes."""
        source = self._sources.pop(path, None)
        if source is not None:
            source.close()
        self._remove(path)
