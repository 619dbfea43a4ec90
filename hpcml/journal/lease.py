"""Lease of a run: one driver at a time, also when the driver before has died.

The holder is the last of the files ``lease-1``, ``lease-2``, …, each made by link(2), which network file systems
do once or not at all. A lease that has ended is followed by the next number, never removed: two drivers that find
the same lease ended both try to make the same next one, and only one of them can.
"""

import contextlib
import errno
import json
import os
import socket
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from hpcml.errors import HpcmlError, RunInUse
from hpcml.journal.private_files import open_private

__all__ = ["DriverIdentity", "Lease", "is_gone", "this_process"]

JobOver = Callable[[str], bool | None]
"""Function of a job's id: whether the job is over, None where that is not known."""


@dataclass(frozen=True)
class DriverIdentity:
    """A driver: a process that differs from all others, also of other hosts and other times.

    Parameters
    ----------
    boot, pids
        The boot of its computer, and the name space of its process id.
    started
        When the process was started, in clock ticks after the boot.
    job, restart
        Its Slurm job, "" for none, and how often that was requeued.
    """

    host: str
    boot: str
    pids: str
    pid: int
    started: int
    job: str = ""
    restart: int = 0

    def __str__(self) -> str:
        job = f" of job {self.job}" if self.job else ""
        return f"process {self.pid} on {self.host}{job}"


def _started(pid: int) -> int | None:
    """Return the start time of a process here; None when there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])  # proc(5): state is field 3, starttime 22


def this_process(job: str = "", restart: int = 0) -> DriverIdentity:
    """Return what names this process."""
    return DriverIdentity(
        host=socket.gethostname(),
        boot=Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
        pids=os.readlink("/proc/self/ns/pid"),
        pid=os.getpid(),
        started=_started(os.getpid()) or 0,
        job=job,
        restart=restart,
    )


def is_gone(holder: DriverIdentity, me: DriverIdentity, job_over: JobOver) -> bool:
    """Tell whether a holder has surely ended: its process is not here where it was, or its job is over."""
    if (holder.host, holder.boot, holder.pids) == (me.host, me.boot, me.pids):
        return _started(holder.pid) != holder.started
    if not holder.job:
        return holder.host == me.host and holder.boot != me.boot
    if holder.job == me.job:
        return holder.restart < me.restart
    return job_over(holder.job) is True


class Lease:
    """The right to write to a run, held until `release`, or the end of this process.

    Parameters
    ----------
    job_over
        Asked about the job of a holder that ran on another computer.

    Raises
    ------
    RunInUse
        Another driver holds it; the message names host, process and job.
    OSError
        The directory cannot be written to.

    Examples
    --------
    >>> import tempfile
    >>> from hpcml.journal.lease import Lease, this_process
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     Lease(Path(directory), this_process(), lambda job: None).release()
    ...     sorted(os.listdir(directory))
    ['lease-1']
    """

    def __init__(self, directory: Path, me: DriverIdentity, job_over: JobOver) -> None:
        self._directory = directory
        self._descriptor = -1
        number = 1
        while True:
            if not self._make(number, me):
                number = self._after(number, me, job_over)
            elif number > 1 and not self._is_there(number - 1):  # removed meanwhile, with an empty run
                self.remove()
                number = 1
            elif self._path(number + 1).exists():  # somebody has removed the one that this replaces
                self.release()
                number += 1
            else:
                return

    def _is_there(self, number: int) -> bool:
        """Check by opening the file: directory entries of a network file system may be stale."""
        try:
            self._holder(number)
        except FileNotFoundError:
            return False
        return True

    def _after(self, number: int, me: DriverIdentity, job_over: JobOver) -> int:
        """Return which lease to try when this one is there: the next, if nobody holds this."""
        try:
            holder = self._holder(number)
        except FileNotFoundError:  # removed meanwhile, with an empty run
            return 1
        if not self._path(number + 1).exists() and holder is not None and not is_gone(holder, me, job_over):
            raise RunInUse(
                f"{self._directory} is in use by {holder}: wait for its end, or start a new run. If that process "
                f"is gone for certain: rm '{self._path(number)}'"
            )
        return number + 1

    def _path(self, number: int) -> Path:
        return self._directory / f"lease-{number}"

    def _make(self, number: int, me: DriverIdentity) -> bool:
        """Make a lease; False when it is there already."""
        if self._path(number).exists():
            return False
        temporary = self._directory / f".lease-{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex}"
        descriptor = open_private(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            with open(descriptor, "w", closefd=False) as file:
                json.dump(asdict(me), file)
                file.flush()
                os.fsync(descriptor)
            made = self._link(temporary, number)
        except BaseException:
            os.close(descriptor)
            raise
        finally:
            temporary.unlink()
        if made:
            self.path = self._path(number)
            self._descriptor = descriptor
        else:
            os.close(descriptor)
        return made

    def _link(self, temporary: Path, number: int) -> bool:
        """Give a lease its name. The file decides whether that has worked: over NFS an answer can be lost."""
        refused: OSError | None = None
        try:
            os.link(temporary, self._path(number))
        except OSError as error:
            refused = error
        if temporary.stat().st_nlink == 2:
            return True
        if isinstance(refused, FileExistsError):
            return False
        raise refused or OSError(errno.EIO, "a link to it was not made", str(temporary))

    def _holder(self, number: int) -> DriverIdentity | None:
        """Return the holder of a lease; None when it has ended in order."""
        path = self._path(number)
        with open(open_private(path, os.O_RDONLY)) as file:
            content = file.read()
        try:
            return DriverIdentity(**json.loads(content)) if content else None
        except (ValueError, TypeError) as error:
            raise HpcmlError(
                f"{path} does not tell who uses this run. If no other process does: rm '{path}'"
            ) from error

    def release(self) -> None:
        """End the lease by truncating its file: needs no disk space, and cannot remove a successor's lease."""
        with contextlib.suppress(OSError):  # the directory may be gone; then it ends with this process
            os.ftruncate(self._descriptor, 0)
        self._close()

    def remove(self) -> None:
        """End the lease of a run that is removed: whoever waits for it begins with the first."""
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(self._descriptor), self.path.lstat()):
                self.path.unlink()
        self._close()

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
