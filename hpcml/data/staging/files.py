"""Files of shared data on one node: paths, verification, and maps of their content.

::

    /dev/shm/hpcml-<random>/          mode 0700, locked while its owner lives
        <name>.part                   as it was sent, not yet verified
        <name>                        length and digest are right; the file never changes again

The first worker that opens a file verifies it and renames it; the other workers wait.
"""

import contextlib
import fcntl
import mmap
import os
import resource
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from hpcml.data.digests import digest
from hpcml.errors import DataMissing

__all__ = [
    "DataFile",
    "DataPart",
    "OpenCopies",
    "candidate_directories",
    "directory_in",
    "open_map",
    "unverified_path",
    "use_directories",
]

DIRECTORY_PREFIX = "hpcml-"  # of directories for data

_directories: tuple[str, ...] = ()  # of this worker's node, for files that have a name alone


class DataFile(NamedTuple):
    """A file of shared data, as every node sees it.

    Parameters
    ----------
    path
        Its path on each node, in a directory of that node; or its name alone, which is in one of the directories
        that `use_directories` has set there.
    nbytes, digest
        Its length and the digest of its content.
    shared
        Path of the one file for all nodes, on a shared file system; else "".
    """

    path: str
    nbytes: int
    digest: str
    shared: str = ""


class DataPart(NamedTuple):
    """A stretch of a file of shared data.

    Parameters
    ----------
    offset, nbytes
        Its begin in the file, and its length.
    private
        A task may write to it; no other process sees the change.
    """

    file: DataFile
    offset: int
    nbytes: int
    private: bool = False


def unverified_path(path: str) -> str:
    """Return the path that the file of `path` has until it is verified."""
    return f"{path}.part"


def candidate_directories(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the directories for data on a node, the best first: memory, then Slurm's and other temporary ones.

    Examples
    --------
    >>> from hpcml.data.staging.files import candidate_directories
    >>> candidate_directories({"TMPDIR": "/scratch/job7"})
    ('/dev/shm', '/scratch/job7', '/tmp')
    """
    named = ("/dev/shm", environment.get("SLURM_TMPDIR", ""), environment.get("TMPDIR", ""), "/tmp")
    return tuple(dict.fromkeys(place for place in named if os.path.isabs(place)))


def directory_in(place: str, name: str) -> str:
    """Return the path of the directory for the data of the run `name`."""
    return os.path.join(place, DIRECTORY_PREFIX + name)


def use_directories(paths: Sequence[str]) -> None:
    """Set the directories of this worker's node: jobs of one Cluster that share a node have different ones."""
    global _directories  # noqa: PLW0603  one process is one worker
    _directories = tuple(paths)


def _with_path(file: DataFile) -> DataFile:
    """Return a file with its path on this node; a file that is missing is expected in the first directory."""
    paths = [os.path.join(place, file.path) for place in _directories]
    present = (path for path in paths if os.path.exists(path) or os.path.exists(unverified_path(path)))
    path = next(present, paths[0] if paths else "")
    if not path:
        raise DataMissing(f"there is no directory for {file.path}", file.digest)
    return file._replace(path=path)


def open_map(file: DataFile) -> mmap.mmap:
    """Map a file of shared data into this process, copy-on-write: no other process sees a change.

    The map can be written for the sake of LAPACK: a routine that scipy calls with ``overwrite_a=True`` does not
    ask whether an array is read-only, and would end the process.

    Raises
    ------
    DataMissing
        The file is missing, or does not have the content that was sent.
    """
    if not os.path.isabs(file.path):
        file = _with_path(file)
    try:
        descriptor = os.open(file.path, os.O_RDONLY)
    except FileNotFoundError:
        descriptor = _verify_and_rename(file)
    try:
        if os.fstat(descriptor).st_size != file.nbytes:
            raise DataMissing(f"{file.path} has not the length that was sent", file.digest)
        try:
            return mmap.mmap(descriptor, file.nbytes, access=mmap.ACCESS_COPY)
        except OSError:  # the system allows no memory that it may not have (vm.overcommit_memory=2)
            return mmap.mmap(descriptor, file.nbytes, access=mmap.ACCESS_READ)
    finally:
        os.close(descriptor)


def _verify_and_rename(file: DataFile) -> int:
    """Verify a file that was sent and give it its name, one worker at a time; return it opened."""
    with _locked(os.path.join(os.path.dirname(file.path), "verifying"), file):
        if not os.path.exists(file.path):
            source = file.shared or unverified_path(file.path)
            with _removal_is_data_missing(file):
                _verify(source, file)
            with _removal_is_data_missing(file):
                if file.shared:
                    os.symlink(source, file.path)
                else:
                    os.rename(source, file.path)
        with _removal_is_data_missing(file):
            return os.open(file.path, os.O_RDONLY)


@contextlib.contextmanager
def _removal_is_data_missing(file: DataFile) -> Iterator[None]:
    """Raise DataMissing where a file, or its directory, is removed meanwhile."""
    try:
        yield
    except FileExistsError:  # the lock was removed too, so that another worker has done the same
        pass
    except FileNotFoundError as error:
        raise DataMissing(f"{error.filename} is not there", file.digest) from error


@contextlib.contextmanager
def _locked(path: str, file: DataFile) -> Iterator[None]:
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except FileNotFoundError as error:
        raise DataMissing(f"{os.path.dirname(path)} is not there", file.digest) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _verify(source: str, file: DataFile) -> None:
    with open(source, "rb") as opened:
        length = os.fstat(opened.fileno()).st_size
        if length != file.nbytes:
            raise DataMissing(f"{source} has {length:,} bytes of {file.nbytes:,}", file.digest)
        with mmap.mmap(opened.fileno(), length, access=mmap.ACCESS_READ) as content:
            if digest(content) != file.digest:
                raise DataMissing(f"{source} is not what was sent: its digest differs", file.digest)


class OpenCopies:
    """Open descriptors of files, so that their content remains when the files are removed; a limited number."""

    def __init__(self) -> None:
        self._open: dict[str, tuple[int, int]] = {}  # with their length
        self._max_open = max(resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4, 16)

    def __del__(self) -> None:
        for path in list(self._open):
            self.drop(path)

    def keep(self, path: str, source: str = "") -> None:
        """Keep the file of `path` open; the file is at `source` where that is given."""
        with contextlib.suppress(OSError):
            descriptor = os.open(source or path, os.O_RDONLY | os.O_CLOEXEC)
            self.drop(path)
            self._open[path] = descriptor, os.fstat(descriptor).st_size
        while len(self._open) > self._max_open:
            self.drop(next(iter(self._open)))

    def get(self, path: str) -> int | None:
        """Return a descriptor of the file, None where it is not open, or has another length than it had."""
        descriptor, nbytes = self._open.get(path, (None, 0))
        return descriptor if descriptor is not None and os.fstat(descriptor).st_size == nbytes else None

    def drop(self, path: str) -> None:
        """Close the file."""
        known = self._open.pop(path, None)
        if known is not None:
            os.close(known[0])
