"""Lease of a run: one driver at a time, also when the driver before has died.

The last of the files ``lease-1``, ``lease-2``, … names the holder. Each is made by link(2), which network file
systems do once or not at all. A lease that has ended is followed by the next number, and never removed: two
drivers that find the same lease ended both try to make the same next one, and only one of them can.
"""

import contextlib
import errno
import json
import os
import socket
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from hpcml.errors import HpcmlError, RunInUse
from hpcml.journal.private_files import open_private, temporary_path

__all__ = ["DriverIdentity", "Lease", "holder_that_is_gone", "is_gone", "this_process"]

IsJobOver = Callable[[str], bool | None]
"""Function of a job's id: whether the job is over, None where Slurm does not answer."""


@dataclass(frozen=True)
class DriverIdentity:
    """Identity of a driver's process, which no other process has, also of other hosts and other times.

    The names of the fields stand in the files of leases: a lease with other names is not understood.

    Parameters
    ----------
    boot, pids
        The boot of the computer, and the name space of the process id.
    started
        When the process was started, in clock ticks after the boot.
    job, restart
        The Slurm job, "" for none, and how often that was requeued.
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


def _start_ticks(pid: int) -> int | None:
    """Return the start time of a process of this host, in clock ticks; None when there is no such process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])  # proc(5): state is field 3, starttime 22


def this_process(job: str = "", restart: int = 0) -> DriverIdentity:
    """Return the identity of this process."""
    return DriverIdentity(
        host=socket.gethostname(),
        boot=Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
        pids=os.readlink("/proc/self/ns/pid"),
        pid=os.getpid(),
        started=_start_ticks(os.getpid()) or 0,
        job=job,
        restart=restart,
    )


def is_gone(holder: DriverIdentity, this_driver: DriverIdentity, is_job_over: IsJobOver) -> bool:
    """Return whether a holder has surely ended: its process is not there any more, or its job is over."""
    here = (this_driver.host, this_driver.boot, this_driver.pids)
    if (holder.host, holder.boot, holder.pids) == here:
        return _start_ticks(holder.pid) != holder.started
    if not holder.job:
        return holder.host == this_driver.host and holder.boot != this_driver.boot
    if holder.job == this_driver.job:
        return holder.restart < this_driver.restart
    return is_job_over(holder.job) is True


def _read_holder(path: Path) -> DriverIdentity | None:
    """Return the holder of a lease; None when the holder has released it."""
    with open(open_private(path, os.O_RDONLY)) as file:
        content = file.read()
    try:
        return DriverIdentity(**json.loads(content)) if content else None
    except (ValueError, TypeError) as error:
        raise HpcmlError(
            f"{path} does not name the process that uses this run. If no other process does: rm '{path}'"
        ) from error


def holder_that_is_gone(directory: Path) -> DriverIdentity | None:
    """Return the last driver of a run if it has ended without a release of its lease, as far as seen from here.

    Slurm is not asked: the end of a driver on another computer is not seen.
    """
    leases = [path for path in directory.glob("lease-*") if path.name[6:].isdigit()]
    path = max(leases, key=lambda path: int(path.name[6:]), default=None)
    with contextlib.suppress(FileNotFoundError, HpcmlError):
        holder = None if path is None else _read_holder(path)
        if holder is not None and is_gone(holder, this_process(), lambda _: None):
            return holder
    return None


class Lease:
    """The right to write to a run, held until `release`, or until the end of this process.

    Parameters
    ----------
    is_job_over
        Asked about the job of a holder that ran on another computer.

    Raises
    ------
    RunInUse
        Another driver holds the lease; the message names host, process and job.
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

    def __init__(self, directory: Path, this_driver: DriverIdentity, is_job_over: IsJobOver) -> None:
        self._directory = directory
        self._descriptor = -1
        number = 1
        while True:
            if not self._make(number, this_driver):
                number = self._next_number(number, this_driver, is_job_over)
            elif number > 1 and not self._is_there(number - 1):
                # The former lease was removed meanwhile, with an empty run.
                self.remove()
                number = 1
            elif self._path(number + 1).exists():
                # Someone has removed the lease that this one replaces.
                self.release()
                number += 1
            else:
                return

    def _is_there(self, number: int) -> bool:
        """Check by opening the file: directory entries of a network file system may be stale."""
        try:
            self._read_holder(number)
        except FileNotFoundError:
            return False
        return True

    def _next_number(self, number: int, this_driver: DriverIdentity, is_job_over: IsJobOver) -> int:
        """Return the number of the lease to try after an existing one: the next, if no driver holds this one."""
        try:
            holder = self._read_holder(number)
        except FileNotFoundError:  # removed meanwhile, with an empty run
            return 1
        is_last = not self._path(number + 1).exists()
        if is_last and holder is not None and not is_gone(holder, this_driver, is_job_over):
            is_own = holder == this_driver
            advice = "shut down its Cluster, for it is this program" if is_own else "wait for its end"
            raise RunInUse(
                f"{self._directory} is in use by {holder}: {advice}, or start a new run. If that process "
                f"is gone for certain: rm '{self._path(number)}'"
            )
        return number + 1

    def _path(self, number: int) -> Path:
        return self._directory / f"lease-{number}"

    def _make(self, number: int, this_driver: DriverIdentity) -> bool:
        """Make a lease, and return True; False when there is one already."""
        if self._path(number).exists():
            return False
        temporary = temporary_path(self._path(number))
        descriptor = open_private(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            with open(descriptor, "w", closefd=False) as file:
                json.dump(asdict(this_driver), file)
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
        """Link a lease to its name; the file's link count decides whether that has worked.

        Over NFS the answer to link(2) can be lost, and the repeated request then fails.
        """
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

    def _read_holder(self, number: int) -> DriverIdentity | None:
        return _read_holder(self._path(number))

    def release(self) -> None:
        """End the lease by truncating its file: needs no disk space, and cannot remove a successor's lease."""
        # The directory may have been removed: then the lease ends with this process.
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, 0)
        self._close()

    def remove(self) -> None:
        """End the lease of a run that is removed: a driver that waits for it begins with the first number."""
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(self._descriptor), self.path.lstat()):
                self.path.unlink()
        self._close()

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
