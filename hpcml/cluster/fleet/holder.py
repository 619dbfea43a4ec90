"""Program of a fleet's job: reports the job to the driver, and ends the job when the driver has gone.

``python -I -S holder.py HEARTBEAT REPORT POLL FIRST SILENCE``, by the path of this file, and with the standard
library alone, so that it starts at once. The job's steps are the driver's, and end with this program.

HEARTBEAT is a file with a counter that a process on the driver's computer raises. This program opens the file
anew for each look: NFS shows it as it was when its writer closed it last (close-to-open consistency, nfs(5)). Only
the counter's change counts, for the clocks of two computers may differ.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping

__all__ = ["Silence", "job_variables", "main", "wait_for_end"]


class Silence:
    """Seconds since the driver's last sign of life, in looks of `poll` seconds each.

    Looks are counted, not time: a job that Slurm suspends looks at nothing meanwhile.

    Parameters
    ----------
    poll
        Seconds from one look to the next.
    first, limit
        Seconds without a change after which the driver counts as gone: before the first change, and after that.

    Examples
    --------
    >>> from hpcml.cluster.fleet.holder import Silence
    >>> silence = Silence(poll=5.0, first=10.0, limit=15.0)
    >>> [silence.is_over(counter) for counter in ("1", "1", "2", "2", "2", "2")]
    [False, False, False, False, False, True]
    """

    def __init__(self, poll: float, first: float, limit: float) -> None:
        self._poll = poll
        self._limit = limit
        self._allowed = first
        self._last: str | None = None
        self._seconds = 0.0

    def is_over(self, counter: str | None) -> bool:
        """Return whether the driver has gone, by the counter as it is now; None: it cannot be read."""
        if self._last is None:
            self._last = counter or ""
            return False
        if counter is not None and counter != self._last:
            self._last = counter
            self._allowed = self._limit
            self._seconds = 0.0
        else:
            self._seconds += self._poll
        return self._seconds >= self._allowed


def job_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that describe the job, as salloc's shell on a login node has them.

    Those of the batch step's own place are left out, and so are secrets.

    Examples
    --------
    >>> from hpcml.cluster.fleet.holder import job_variables
    >>> job_variables({"SLURM_JOB_ID": "7", "SLURM_PROCID": "0", "SLURM_JWT": "x", "PATH": "/bin"})
    {'SLURM_JOB_ID': '7'}
    """
    own = ("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID", "SLURM_GTIDS", "SLURM_TASK_PID", "SLURM_JWT")
    return {
        name: value
        for name, value in environment.items()
        if name.startswith("SLURM_") and not name.startswith("SLURM_STEP_") and name not in own
    }


def _read_counter(path: str) -> str | None:
    """Return the driver's counter; None where the file system does not answer.

    Raises
    ------
    FileNotFoundError
        The driver has ended.
    """
    try:
        with open(path) as file:
            return file.read().strip()
    except FileNotFoundError:
        raise
    except OSError:
        return None


def wait_for_end(read: Callable[[], str | None], silence: Silence, pause: Callable[[], None]) -> str:
    """Return when the driver has gone, with the reason."""
    try:
        while not silence.is_over(read()):
            pause()
    except FileNotFoundError:
        return "the driver has ended"
    return "the driver has given no sign of life"


def main() -> None:
    """Report the job's variables, then wait for the end of the driver."""
    heartbeat, report, *numbers = sys.argv[1:]
    poll, first, limit = map(float, numbers)
    # The driver has made the file, and reads it: NFS may show a new one only when its directory is no longer
    # cached. The line end means that all is there.
    with open(os.open(report, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW), "w") as file:
        file.write(json.dumps(job_variables(os.environ)) + "\n")
    reason = wait_for_end(lambda: _read_counter(heartbeat), Silence(poll, first, limit), lambda: time.sleep(poll))
    print(f"hpcml: {reason}: this job ends", flush=True)


if __name__ == "__main__":
    main()
