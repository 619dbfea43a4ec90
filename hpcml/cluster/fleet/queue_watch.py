"""Slurm's queue, as a fleet looks at it: asked in a thread, for an answer may take half a minute."""

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from hpcml.slurm.jobs.queue import JobQueue, Listing
from hpcml.slurm.jobs.reasons import reason_in_words
from hpcml.slurm.jobs.states import Job

__all__ = ["QueueWatch", "end_in_words", "state_in_words"]


_OF_NODES = ("CONFIGURING", "NODE_FAIL", "BOOT_FAIL")  # states that some nodes of a job may explain


def state_in_words(job: Job, late: str = "") -> str:
    """Return the state of a job in the queue, with the reason and the expected start.

    `late` names nodes of the job that are not ready, see `hpcml.slurm.node_states`.

    Examples
    --------
    >>> from hpcml.cluster.fleet.queue_watch import state_in_words
    >>> from hpcml.slurm.jobs.states import Job
    >>> state_in_words(Job(7, "7", "PENDING", "Resources", start_time="2026-05-01T09:00:00"))
    'PENDING, waiting for nodes to become free; expected to start at 2026-05-01T09:00:00'
    """
    reason = reason_in_words(job)
    start = job.start_time if job.state == "PENDING" else ""
    expected = f"; expected to start at {start}" if start not in ("", "N/A") else ""
    return f"{job.state}{reason and ', '}{reason}{expected}{late and ': '}{late}"


def end_in_words(job: Job, log: Path, late: str = "") -> str:
    """Return why a job has ended: Slurm's reason, and the last words of its program in `log`.

    `late` names nodes of the job that are not ready, see `hpcml.slurm.node_states`.

    Examples
    --------
    >>> from hpcml.cluster.fleet.queue_watch import end_in_words
    >>> from hpcml.slurm.jobs.states import Job
    >>> end_in_words(Job(7, "7", "CANCELLED"), Path("job-7.log"))
    'it was cancelled'
    """
    parts = [(reason_in_words(job) or f"it has ended ({job.state})") + (f": {late}" if late else "")]
    if job.state in _OF_NODES and late:
        return parts[0]  # its program has not begun, or has died with its node
    try:
        said = [line for line in log.read_text(errors="replace").splitlines() if line.startswith("hpcml: ")]
        parts += [line.removeprefix("hpcml: ") for line in said[-1:]]
    except OSError:
        parts += [f"its log {log} is not there"] if job.nodelist else []
    return "; ".join(parts)


class QueueWatch:
    """The newest listing of the queue, asked for while somebody wants it.

    Parameters
    ----------
    environment
        Environment variables, which name Slurm's cluster and the user's cache.
    news
        Called when there is another listing.
    """

    def __init__(self, environment: Mapping[str, str], news: Callable[[], None]) -> None:
        self._queue = JobQueue.of(environment)
        self._news = news
        self._thread: threading.Thread | None = None
        self._due = 0.0
        self._own: set[int] = set()
        self._late: dict[int, str] = {}
        self.listing = Listing()

    def note_submitted(self, label: str, nodes: int, name: str) -> None:
        """Record a job that was just submitted."""
        self._own.add(int(label))
        self._queue.note([Job(int(label), label, "PENDING", "None", nodes=nodes, name=name)])

    def poll(self) -> None:
        """Have the queue read, where the listing is old and no question is under way."""
        if time.monotonic() < self._due or (self._thread is not None and self._thread.is_alive()):
            return
        self._thread = threading.Thread(target=self._read, name="hpcml-queue", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        listing = self._queue.read()
        self._due = time.monotonic() + self._queue.seconds_to_next(listing)
        if listing.asked != self.listing.asked:
            self._late |= {job.job_id: self._queue.late_nodes(job) for job in self._awaited(listing)}
            self.listing = listing
            self._news()

    def _awaited(self, listing: Listing) -> list[Job]:
        """Return the jobs of this fleet whose nodes start, or have failed since the last listing."""
        jobs = [listing.jobs[number] for number in self._own if number in listing.jobs]
        self._own -= {job.job_id for job in jobs if not job.may_run}  # looked at once more, now
        return [job for job in jobs if job.state in _OF_NODES]

    def late(self, label: str) -> str:
        """Return the nodes of a job that start, or have failed, in words; "" where none is known."""
        return self._late.get(int(label), "")

    def find(self, label: str, since: float = 0.0) -> Job | None:
        """Return a job, as Slurm had it after `since`, in seconds since the epoch; None without an answer."""
        if self.listing.problem or self.listing.asked <= since:
            return None
        return self.listing.jobs.get(int(label))
