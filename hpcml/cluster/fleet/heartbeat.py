"""Program beside the driver: shows its sign of life to the jobs of a fleet, and cancels them when it has gone.

``python -I -S heartbeat.py FILE SECONDS DRIVER``, by the path of this file. Each line of standard input is
``{"jobs": […]}``, all jobs that there are. The end of the input, or another parent than the process DRIVER, means
that the driver has ended, however it did.

This is a process of its own because a thread of the driver would be silent while another holds the interpreter's
lock: a large pickle takes minutes. While the driver is stopped (SIGSTOP), there is no sign of life.
"""

import contextlib
import json
import os
import select
import subprocess
import sys
from collections.abc import Callable

__all__ = ["beat", "is_stopped", "main"]

CANCEL_TIMEOUT_SECONDS = 60.0


def is_stopped(stat: str) -> bool:
    """Return whether a process is stopped, by its line in ``/proc/PID/stat``; see proc(5).

    Examples
    --------
    >>> from hpcml.cluster.fleet.heartbeat import is_stopped
    >>> is_stopped("7 (python (T)) S 1 7"), is_stopped("7 (python) T 1 7")
    (False, True)
    """
    return stat.rpartition(")")[2].split()[0] == "T"


def _write_counter(path: str, counter: int) -> None:
    """Raise the counter in its file, in place: jobs must not find the file missing."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        file.write(f"{counter:012d}\n")


def beat(read: Callable[[float], bytes | None], path: str, seconds: float, parent: int) -> list[str]:
    """Show signs of life until the driver has ended; return the jobs that it had.

    Parameters
    ----------
    read
        Returns what the driver has sent, within so many seconds: None for nothing, ``b""`` after its end.
    """
    jobs: list[str] = []
    unread = b""
    counter = 0
    while os.getppid() == parent:
        if not _is_driver_stopped(parent):
            counter += 1
            with contextlib.suppress(OSError):  # a full disk: the jobs wait for a while
                _write_counter(path, counter)
        data = read(seconds)
        if data == b"":
            break
        *lines, unread = (unread + (data or b"")).split(b"\n")
        for line in lines:
            jobs = json.loads(line)["jobs"]
    return jobs


def _is_driver_stopped(process: int) -> bool:
    try:
        with open(f"/proc/{process}/stat") as file:
            return is_stopped(file.read())
    except OSError:
        return False


def _read_input(seconds: float) -> bytes | None:
    ready, _, _ = select.select([0], [], [], seconds)
    return os.read(0, 65536) if ready else None


def main() -> None:
    """Beat until the driver's end, cancel the jobs that it has left, and remove the file."""
    path, seconds, parent = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
    jobs = beat(_read_input, path, float(seconds), parent)
    with contextlib.suppress(OSError):
        os.unlink(path)  # a job that starts now ends at once
    if jobs:
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            subprocess.run(["scancel", *jobs], timeout=CANCEL_TIMEOUT_SECONDS, check=False)


if __name__ == "__main__":
    main()
