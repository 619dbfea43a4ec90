"""Workers of several jobs as one: a frame goes to the job with the fewest frames per slot.

::

    dispatcher thread ── submit ──> the engine of one job ──> its controller and workers
    engines' threads ── outcomes, deaths ──> frame's future ──> dispatcher's inbox
    fleet thread ── jobs that join, drain and are lost ──> table of jobs

The lock protects the table of jobs and the frames of each.
"""

import threading
import time
from collections.abc import Callable, Set
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from hpcml.cluster.fleet.staging import FleetStaging
from hpcml.engines.interface import Workers
from hpcml.errors import HpcmlError, WorkerDied

__all__ = ["FleetWorkers", "JobWorkers"]

# From the death of a worker until its job counts as alive: when a job ends, its workers are the first to go, and
# the end of its steps is seen a little later.
DEATH_GRACE_SECONDS = 2.0

OuterFuture = Future[bytes]


@dataclass(eq=False)
class JobWorkers:
    """Workers of one job, and their frames.

    Parameters
    ----------
    limit_seconds
        Time limit of the job; None: it has none that is known.
    """

    label: str
    workers: Workers
    limit_seconds: float | None = None
    takes_frames: bool = True
    lost: bool = False
    frames: dict[OuterFuture, tuple["Future[bytes]", float]] = field(
        default_factory=dict
    )  # and when they were sent

    @property
    def load(self) -> float:
        """Frames per slot."""
        return len(self.frames) / max(self.workers.ready, 1)

    def has_run_too_long(self, sent: float) -> bool:
        """Return whether a frame had more than half of its job's time: its tasks may never end in such a job."""
        return self.limit_seconds is not None and time.monotonic() - sent > self.limit_seconds / 2


class FleetWorkers:
    """Workers of all jobs of a fleet; see `hpcml.engines.interface.Workers`.

    Parameters
    ----------
    expected_slots
        Returns the slots of the jobs that are awaited, for the time in which no job runs.
    """

    def __init__(self, staging: FleetStaging, expected_slots: Callable[[], int]) -> None:
        self.staging = staging
        self.on_change: Callable[[], None] = lambda: None
        self.on_broken: Callable[[BaseException], None] = lambda _: None
        self.on_print: Callable[[str, int, bytes, bool], None] = lambda *_: None
        self._expected_slots = expected_slots
        self._jobs: list[JobWorkers] = []
        self._interrupted: set[OuterFuture] = set()
        self._lock = threading.Lock()

    # -- the jobs ------------------------------------------------------------------------------------------------
    @property
    def jobs(self) -> list[JobWorkers]:
        """The jobs that have workers, in the order in which these came."""
        return list(self._jobs)

    @property
    def slots(self) -> int:
        """Number of workers; where no job runs, the number of those that are awaited."""
        return sum(job.workers.slots for job in self.jobs if job.takes_frames) or max(self._expected_slots(), 1)

    @property
    def ready(self) -> int:
        """Number of workers that can take a frame now."""
        return sum(job.workers.ready for job in self.jobs if job.takes_frames)

    @property
    def hosts(self) -> tuple[str, ...]:
        """Nodes of the workers, each once."""
        return tuple(dict.fromkeys(host for job in self.jobs for host in job.workers.hosts))

    @property
    def client(self) -> Any:
        """The ipyparallel client of the one job; see `hpcml.Cluster.client`."""
        return self.only.client

    @property
    def connection(self) -> Any:
        """Arguments of ipyparallel's Client that connect it to the engines of the one job."""
        return self.only.connection

    @property
    def only(self) -> Any:
        """The workers of the one job.

        Raises
        ------
        HpcmlError
            There are several jobs, or none, each with a controller of its own.
        """
        jobs = self.jobs
        if len(jobs) != 1:
            labels = ", ".join(job.label for job in jobs) or "none"
            raise HpcmlError(
                f"this Cluster has {len(jobs)} jobs ({labels}), and a client of ipyparallel is that of one: open "
                "the Cluster with all its nodes in one job, without nodes_per_job"
            )
        return jobs[0].workers

    def join(self, job: JobWorkers) -> None:
        """Add the workers of a job."""
        job.workers.on_change = self._pass_change
        job.workers.on_print = self._pass_print
        with self._lock:
            self._jobs.append(job)
        self.on_change()

    def _pass_change(self) -> None:
        self.on_change()

    def _pass_print(self, worker: str, stream: int, data: bytes, ended: bool) -> None:
        self.on_print(worker, stream, data, ended)

    def drain(self, job: JobWorkers) -> None:
        """Send no further frame to a job."""
        job.takes_frames = False
        self.on_change()

    def leave(self, job: JobWorkers, reason: str) -> None:
        """Remove a job; its frames run elsewhere, and no task is held responsible."""
        job.takes_frames = False
        job.lost = True
        with self._lock:
            self._jobs = [other for other in self._jobs if other is not job]
            left = dict(job.frames)
            job.frames.clear()
        for future, (_, sent) in left.items():
            future.set_exception(WorkerDied(reason, job.label, started=job.has_run_too_long(sent)))
        self.on_change()

    # -- frames --------------------------------------------------------------------------------------------------
    def submit(self, frame: bytes, avoid: Set[str] = frozenset()) -> "Future[bytes]":
        """Send a frame to the job with the fewest frames per slot; see `hpcml.engines.interface.Workers`."""
        future: OuterFuture = Future()
        with self._lock:
            usable = [job for job in self._jobs if job.takes_frames and job.workers.ready]
            job = min(usable, key=lambda job: job.load, default=None)
            if job is not None:
                # The engine answers later than `submit` returns, or at once where it has just lost all workers.
                inner = job.workers.submit(frame, avoid)
                job.frames[future] = inner, time.monotonic()
        if job is None:
            future.set_exception(WorkerDied("no worker is there just now", started=False))
        else:
            inner.add_done_callback(lambda done: self._receive(job, future, done))
        return future

    def _receive(self, job: JobWorkers, future: OuterFuture, done: "Future[bytes]") -> None:
        error = done.exception()
        ended_by_order = future in self._interrupted
        self._interrupted.discard(future)
        if isinstance(error, WorkerDied) and error.started and not job.lost and not ended_by_order:
            timer = threading.Timer(DEATH_GRACE_SECONDS, self._resolve, (job, future, done))
            timer.daemon = True
            timer.start()
        else:
            self._resolve(job, future, done)

    def _resolve(self, job: JobWorkers, future: OuterFuture, done: "Future[bytes]") -> None:
        with self._lock:
            if job.frames.pop(future, None) is None:  # its job is lost, and it has failed with that
                return
        error = done.exception()
        if error is None:
            future.set_result(done.result())
            return
        if isinstance(error, WorkerDied) and not job.workers.slots:  # they all died: it is no fault of a task
            error = WorkerDied(str(error), error.worker, started=False)
        future.set_exception(error)

    def frames_running(self) -> dict[str, "Future[bytes]"]:
        """Return the frame that each busy worker runs now."""
        found = {}
        for job in self.jobs:
            with self._lock:
                outer = {inner: future for future, (inner, _) in job.frames.items()}
            frames = job.workers.frames_running().items()
            found.update({worker: outer[inner] for worker, inner in frames if inner in outer})
        return found

    def interrupt(self, future: "Future[bytes]") -> None:
        """End the work on a frame; see `hpcml.engines.interface.Workers`."""
        with self._lock:
            found = [(job, job.frames[future][0]) for job in self._jobs if future in job.frames]
            self._interrupted.update([future] if found else [])
        for job, inner in found:
            job.workers.interrupt(inner)
