"""Size of a fleet: the nodes that its jobs should have together, by the caller's wish, the work, and failures."""

import threading
import time
from typing import TYPE_CHECKING

from hpcml.cluster.fleet.adapt import Adaptation, JobSize, Work, surplus_jobs
from hpcml.cluster.fleet.job import FleetJob
from hpcml.errors import SubmissionError

if TYPE_CHECKING:
    from hpcml.cluster.fleet.fleet import JobFleet

__all__ = ["FleetSize"]

DECISION_SECONDS = 2.0  # between two decisions of `Cluster.adapt`
SUBMIT_AGAIN_SECONDS = 60.0  # after Slurm's refusal
MAX_FAILURES = 3  # jobs that fail one after the other; then none is submitted any more


class FleetSize:
    """Submits jobs that are missing, and drains jobs that can be spared.

    The fleet thread and callers of `Cluster.scale` use it; the fleet's lock protects the numbers.

    Parameters
    ----------
    nodes
        Nodes of all jobs together, at first.
    """

    def __init__(self, fleet: "JobFleet", nodes: int) -> None:
        self._fleet = fleet
        self._nodes = nodes
        self._dormant = (
            0  # of these, nodes of jobs that have ended without work: the next task asks for them again
        )
        self._adaptation: Adaptation | None = None
        self._resizing = threading.Lock()  # two threads must not both submit what is missing
        self._failures = 0  # in a row
        self._refused_at = -SUBMIT_AGAIN_SECONDS
        self._decided_at = 0.0
        self._last_busy = time.monotonic()

    @property
    def nodes(self) -> int:
        """Nodes that are wanted while there is work."""
        return self._nodes

    @property
    def is_hopeless(self) -> bool:
        """Return whether no job is going to be submitted any more."""
        return not self._nodes or self._failures >= MAX_FAILURES

    # -- news ----------------------------------------------------------------------------------------------------
    def note_success(self) -> None:
        """Note that a job has workers."""
        self._failures = 0
        self._last_busy = time.monotonic()

    def note_failure(self, job: FleetJob) -> None:
        """Note that a job has failed: its nodes are not asked for again, unless the size follows the work."""
        self._failures += 1
        with self._fleet.lock:
            if self._adaptation is None and not job.leaves:
                self._nodes = max(self._nodes - job.nodes, 0)

    def note_end(self, job: FleetJob, seconds: float) -> None:
        """Note that a job has reached its time limit; without work in the last `seconds` it is not replaced."""
        if not job.leaves and not self.was_busy(seconds):
            self._dormant += job.nodes

    def was_busy(self, seconds: float) -> bool:
        """Return whether there was work in the last `seconds`."""
        return time.monotonic() - self._last_busy < seconds

    # -- decisions -----------------------------------------------------------------------------------------------
    def set_nodes(self, nodes: int) -> None:
        """Set the size, and submit or drain jobs now. Raises SubmissionError."""
        before = (self._nodes, self._adaptation)
        self._wake()
        self._nodes = nodes
        self._adaptation = None
        try:
            self._resize()
        except BaseException:
            self._nodes, self._adaptation = before
            raise

    def follow_work(self, minimum: int, maximum: int) -> None:
        """Have the size follow the work from now on."""
        self._adaptation = Adaptation(minimum, maximum)
        self._wake()

    def _wake(self) -> None:
        self._dormant = 0
        self._failures = 0
        self._refused_at = -SUBMIT_AGAIN_SECONDS

    def update(self, work: Work) -> None:
        """Make the size what it should be now; called by the fleet thread. Raises SubmissionError."""
        now = time.monotonic()
        if work.calls:
            self._last_busy = now
            self._dormant = 0
        else:
            self._end_idle(now)
        if self._adaptation is not None and now > self._decided_at + DECISION_SECONDS:
            self._decided_at = now
            slots = self._fleet.workers.slots
            with self._fleet.lock:
                running = sum(job.nodes for job in self._fleet.living("running"))
                have = sum(job.nodes for job in self._fleet.living() if not job.leaves)
                self._nodes = self._adaptation.decide(work, have, slots // max(running, 1), now)
        if self._failures < MAX_FAILURES and now > self._refused_at + SUBMIT_AGAIN_SECONDS:
            try:
                self._resize()
            except SubmissionError:
                self._refused_at = now
                self._failures += 1
                raise

    def _end_idle(self, now: float) -> None:
        """End all jobs when there was no work for `Request.idle_timeout`."""
        timeout = self._fleet.request.idle_timeout
        running = self._fleet.living("running")
        if timeout is None or self.was_busy(timeout) or not running or self._dormant:
            return
        self._dormant = self._nodes
        labels = ", ".join(job.label for job in self._fleet.living())
        self._fleet.print_line(
            f"hpcml: no tasks for {timeout:g} s: job {labels} ends; the next task asks for nodes again"
        )

    def _resize(self) -> None:
        with self._resizing:
            missing, spared = self._plan_size()
            self._fleet.cancel(spared)
            if missing > 0:
                self._fleet.submit(missing)

    def _plan_size(self) -> tuple[int, list[FleetJob]]:
        """Return the nodes that are missing, and the jobs without workers that can be spared; drain others."""
        fleet = self._fleet
        with fleet.lock:
            staying = [job for job in fleet.living() if not job.leaves]
            wanted = max(self._nodes - self._dormant, 0)
            missing = wanted - sum(job.nodes for job in staying)
            sizes = [JobSize(job.label, job.nodes, job.frames, job.started) for job in staying]
            labels = surplus_jobs(sizes, wanted) if missing < 0 else []
            spared = [job for job in staying if job.label in labels]
            for job in spared:
                job.leaves = True
                if job.joined is not None:
                    job.drain("the Cluster needs fewer nodes")
                    fleet.workers.drain(job.joined)
        return missing, [job for job in spared if job.joined is None]
