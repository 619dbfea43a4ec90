"""Files of shared data on one node: where they lie, how they are opened, and how they go away.

::

    /dev/shm/hpcml-<random>/          mode 0700, locked while its owner lives
        <name>.part                   as it was delivered: not to be trusted
        <name>                        length and digest are right; it never changes again

The first worker that opens a file verifies what was delivered and gives it its name; the others wait.
"""

import contextlib
import fcntl
import mmap
import os
import shutil
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hpcml.errors import DataMissing
from hpcml.takeover import take_over

__all__ = ["DataDirectories", "DataFile", "DataPart", "delivered", "digest", "directory_in", "open_map", "places"]

PREFIX = "hpcml-"  # of directories for data
GRACE = 60.0  # seconds; a younger directory may not have its lock yet


class DataFile(NamedTuple):
    """A file of shared data, as every node sees it.

    Parameters
    ----------
    path
        Its name on each node, in a directory of that node.
    nbytes, digest
        Its length and the digest of its content.
    shared
        Where it lies for all nodes, when that is one file on a shared file system.
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
        Where it begins in the file, and its length.
    private
        Who uses it may write to it, and nobody else sees what is written.
    """

    file: DataFile
    offset: int
    nbytes: int
    private: bool = False


def digest(*parts: Any) -> str:
    """Return the digest of bytes-like objects, one after the other: 128 bits of XXH3, in hexadecimal.

    Examples
    --------
    >>> from hpcml.datafiles import digest
    >>> digest(b"hpcml")
    '75c3728425cdfdee6d4549003fb2d2a9'
    """
    import xxhash

    if len(parts) == 1:
        return str(xxhash.xxh3_128_hexdigest(parts[0]))
    state = xxhash.xxh3_128()
    for part in parts:
        state.update(part)
    return str(state.hexdigest())


def delivered(path: str) -> str:
    """Return the name that the file for `path` has until it is verified."""
    return f"{path}.part"


def places(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the directories for data on a node, the best first: memory, then Slurm's and other temporary ones.

    Examples
    --------
    >>> from hpcml.datafiles import places
    >>> places({"TMPDIR": "/scratch/job7"})
    ('/dev/shm', '/scratch/job7', '/tmp')
    """
    named = ("/dev/shm", environment.get("SLURM_TMPDIR", ""), environment.get("TMPDIR", ""), "/tmp")
    return tuple(dict.fromkeys(place for place in named if os.path.isabs(place)))


def directory_in(place: str, name: str) -> str:
    """Return the path of the directory for the data of the run `name`."""
    return os.path.join(place, PREFIX + name)


class DataDirectories:
    """One directory in each of `places` that takes one; they live as long as this object, and no longer.

    Those that a killed process of the same user has left behind in the same places are removed.

    Parameters
    ----------
    name
        What they are called, the same on every node of a run.
    again
        Another process of this run had them on this node before: wait for its end, and take over what it leaves.
    """

    def __init__(self, name: str, places: Sequence[str], again: bool = False) -> None:
        self.paths: list[str] = []
        self._locks: list[int] = []
        for place in places:
            with contextlib.suppress(OSError):
                _sweep(Path(place))
            with contextlib.suppress(OSError):
                path = directory_in(place, name)
                if again and (left := take_over(path)) is not None:
                    self.paths.append(path)
                    self._locks.append(left)
                    continue
                os.mkdir(path, 0o700)  # one that exists is another node's: this place is not the node's own
                self.paths.append(path)
                lock = os.open(os.path.join(path, "owner"), os.O_RDWR | os.O_CREAT, 0o600)
                self._locks.append(lock)
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def room(self) -> dict[str, int]:
        """Return the bytes that each directory can take."""
        found = {}
        for path in self.paths:
            with contextlib.suppress(OSError):
                system = os.statvfs(path)
                found[path] = system.f_bavail * system.f_frsize
        return found

    def remove(self, path: str) -> None:
        """Remove a file of these directories, verified or not; workers that have it open keep what they see."""
        if os.path.dirname(path) in self.paths:
            for file in (path, delivered(path)):
                with contextlib.suppress(OSError):
                    os.unlink(file)

    def close(self) -> None:
        """Remove the directories with all that is in them."""
        for path in self.paths:
            shutil.rmtree(path, ignore_errors=True)
        for lock in self._locks:
            os.close(lock)
        self.paths, self._locks = [], []


def _sweep(place: Path) -> None:
    """Remove the directories in `place` that are ours and have lost their owner."""
    for path in place.glob(PREFIX + "*"):
        with contextlib.suppress(OSError):  # another process may be sweeping as well
            found = path.lstat()
            ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
            if ours and found.st_mtime < time.time() - GRACE and _abandoned(path / "owner"):
                shutil.rmtree(path, ignore_errors=True)


def _abandoned(lock: Path) -> bool:
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except FileNotFoundError:  # not a directory of data
        return False
    return True


def open_map(file: DataFile) -> mmap.mmap:
    """Map a file of shared data into this process; what is written to the map nobody else sees.

    The map can be written for the sake of LAPACK: what scipy calls with ``overwrite_a=True`` does not ask whether
    an array is read-only, and would end the process.

    Raises
    ------
    DataMissing
        It is not there, or what is there is not what was sent.
    """
    try:
        descriptor = os.open(file.path, os.O_RDONLY)
    except FileNotFoundError:
        descriptor = _adopt(file)
    try:
        if os.fstat(descriptor).st_size != file.nbytes:
            raise DataMissing(f"{file.path} has not the length that was sent", file.digest)
        try:
            return mmap.mmap(descriptor, file.nbytes, access=mmap.ACCESS_COPY)
        except OSError:  # the system promises no memory that it may not have (vm.overcommit_memory=2)
            return mmap.mmap(descriptor, file.nbytes, access=mmap.ACCESS_READ)
    finally:
        os.close(descriptor)


def _adopt(file: DataFile) -> int:
    """Verify what was delivered and give it its name, one worker at a time; return it opened."""
    with _locked(os.path.join(os.path.dirname(file.path), "verifying"), file):
        if not os.path.exists(file.path):
            source = file.shared or delivered(file.path)
            try:
                _verify(source, file)
            except FileNotFoundError as error:
                raise DataMissing(f"{source} is not there", file.digest) from error
            if file.shared:
                os.symlink(source, file.path)
            else:
                os.rename(source, file.path)
        return os.open(file.path, os.O_RDONLY)


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
