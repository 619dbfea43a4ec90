"""One driver at a time for a run: who holds it, and how that is told when the holder is gone.

The holder is the last of the files ``lease-1``, ``lease-2``, …, each made by link(2), which network file systems
do once or not at all. A lease that has ended is followed by the next number, never removed: two drivers that find
the same lease ended both try to make the same next one, and only one of them can.
"""

import contextlib
import json
import os
import socket
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from hpcml.errors import RunInUse
from hpcml.private import open_private

__all__ = ["Holder", "Lease", "is_gone", "this_process"]

JobOver = Callable[[str], bool | None]
"""Tells whether a job is over; None: that cannot be told."""


@dataclass(frozen=True)
class Holder:
    """A process, named so that it can be told from all others, also of other computers and of other times.

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


def this_process(job: str = "", restart: int = 0) -> Holder:
    """Return what names this process."""
    return Holder(
        host=socket.gethostname(),
        boot=Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
        pids=os.readlink("/proc/self/ns/pid"),
        pid=os.getpid(),
        started=_started(os.getpid()) or 0,
        job=job,
        restart=restart,
    )


def is_gone(holder: Holder, me: Holder, job_over: JobOver) -> bool:
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

    Examples
    --------
    >>> import tempfile
    >>> from hpcml.lease import Lease, this_process
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     Lease(Path(directory), this_process(), lambda job: None).release()
    ...     sorted(os.listdir(directory))
    ['lease-1']
    """

    def __init__(self, directory: Path, me: Holder, job_over: JobOver) -> None:
        self._directory = directory
        number = 1
        while not self._make(number, me):
            holder = self._holder(number)
            if not self._path(number + 1).exists() and holder is not None and not is_gone(holder, me, job_over):
                raise RunInUse(
                    f"{directory} is in use by {holder}: wait for its end, or start a new run. If that process is "
                    f"gone for certain: rm '{self._path(number)}'"
                )
            number += 1
        self.path = self._path(number)

    def _path(self, number: int) -> Path:
        return self._directory / f"lease-{number}"

    def _write(self, content: dict[str, object]) -> Path:
        """Write a temporary file and return its path."""
        path = self._directory / f".lease-{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex}"
        with open(open_private(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "w") as file:
            json.dump(content, file)
            file.flush()
            os.fsync(file.fileno())
        return path

    def _make(self, number: int, me: Holder) -> bool:
        """Make a lease; False when it is there already."""
        if self._path(number).exists():
            return False
        temporary = self._write(asdict(me))
        try:
            with contextlib.suppress(FileExistsError):
                os.link(temporary, self._path(number))
            # Whether it was made is told by the file: over NFS an answer can be lost, and the call is repeated.
            return temporary.stat().st_nlink == 2
        finally:
            temporary.unlink()

    def _holder(self, number: int) -> Holder | None:
        """Return the holder of a lease; None when it has ended in order."""
        with open(open_private(self._path(number), os.O_RDONLY)) as file:
            content = json.load(file)
        return Holder(**content) if content else None

    def release(self) -> None:
        """End the lease."""
        with contextlib.suppress(OSError):  # the directory may be gone, or full; then it ends with this process
            os.replace(self._write({}), self.path)
