"""One job of a fleet: it waits for nodes, reports itself, gets workers, drains, and ends."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hpcml.cluster.fleet.workers import JobWorkers
from hpcml.engines import Starter
from hpcml.engines.interface import Workers
from hpcml.engines.plan import Plan
from hpcml.journal.private_files import read_private
from hpcml.slurm.allocation import Allocation

__all__ = ["FleetJob", "JobRow"]


@dataclass(frozen=True)
class JobRow:
    """A job of a Cluster, as ``Cluster.jobs`` shows it.

    Parameters
    ----------
    job
        Its number, in Slurm's commands.
    nodes
        Number of its nodes.
    state
        ``waiting``, ``starting``, ``running``, or ``draining``: it gets no further task, and ends after its last.
    reason
        Why it waits or drains, in words; or "".
    slots
        Number of its workers; 0 while Slurm has not said.
    hosts
        Names of its nodes, once it has them.
    seconds_left
        Until its time limit; None while it waits, or where it has none that is known.

    Examples
    --------
    >>> from hpcml.cluster.fleet.job import JobRow
    >>> JobRow("7", nodes=2, state="running", slots=8, hosts=("n1", "n2"))
    JobRow(job='7', nodes=2, state='running', reason='', slots=8, hosts=('n1', 'n2'), seconds_left=None)
    """

    job: str
    nodes: int
    state: str
    reason: str = ""
    slots: int = 0
    hosts: tuple[str, ...] = ()
    seconds_left: float | None = None


class FleetJob:
    """A job that was submitted, and its workers once it runs.

    Only the fleet thread changes its state; a thread of the job's own starts its workers and ends them.

    Parameters
    ----------
    label
        The job's number.
    nodes
        Number of its nodes.
    report
        File in which it describes itself.
    """

    def __init__(self, label: str, nodes: int, report: Path) -> None:
        self.label = label
        self.nodes = nodes
        self.report = report
        self.submitted = time.monotonic()
        self.started: float | None = None
        self.ended: float | None = None
        self.state = "waiting"
        self.reason = ""
        self.leaves = False  # it is drained, or another takes its place
        self.runs_since: float | None = None  # as Slurm has it, without a report
        self.lost_at: float | None = None  # seconds since the epoch
        self.limit: float | None = None
        self.joined: JobWorkers | None = None
        self.plan: Plan | None = None
        self.error: BaseException | None = None
        self.workers: Workers | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def read_report(self) -> dict[str, str] | None:
        """Return the job's variables; None while it waits."""
        content = read_private(self.report)
        return json.loads(content) if content.endswith(b"\n") else None

    def start(self, plan: Plan, start_workers: Starter, news: Callable[[], None]) -> None:
        """Start the workers in a thread, which calls `news` when they are ready or have failed."""
        self.state = "starting"
        self.started = time.monotonic()
        self.plan = plan
        self._thread = threading.Thread(
            target=self._run, args=(plan, start_workers, news), name=f"hpcml-job-{self.label}", daemon=True
        )
        self._thread.start()

    def _run(self, plan: Plan, start_workers: Starter, news: Callable[[], None]) -> None:
        try:
            with start_workers(plan) as workers:
                self.workers = workers
                news()
                self._stop.wait()
        except BaseException as error:
            self.error = error
            news()

    def join(self, joined: JobWorkers) -> None:
        """Note that the job's workers take frames."""
        self.joined = joined
        self.state = "running"
        self.reason = ""

    def drain(self, reason: str) -> None:
        """Note that the job's workers take no further frame."""
        self.state = "draining"
        self.reason = reason

    def end(self) -> None:
        """Note that the job has ended."""
        self.state = "ended"
        self.ended = time.monotonic()
        self.report.unlink(missing_ok=True)

    @property
    def is_unclear(self) -> bool:
        """Return whether Slurm's queue has something to say about the job."""
        is_endless = self.started is not None and self.limit is None
        return self.state == "waiting" or self.lost_at is not None or is_endless

    @property
    def allocation(self) -> Allocation | None:
        """The job's nodes, once it runs."""
        return None if self.plan is None else self.plan.allocation

    @property
    def slots(self) -> int:
        """Number of workers that it has, or is going to have; 0 while Slurm has not said."""
        return 0 if self.plan is None else self.plan.slots

    @property
    def frames(self) -> int:
        """Number of frames that its workers have."""
        return 0 if self.joined is None else len(self.joined.frames)

    def seconds_left(self) -> float | None:
        """Return the seconds until the job's time limit; None where that is not known."""
        if self.started is None or self.limit is None:
            return None
        return self.started + self.limit - time.monotonic()

    def begin_stop(self) -> None:
        """Order the thread of the workers to end them."""
        self._stop.set()
        if self.plan is not None:
            self.plan.unwanted.set()

    def wait_stopped(self, deadline: float) -> None:
        """Wait for the end of the workers, until `deadline` on the monotonic clock."""
        if self._thread is not None:
            self._thread.join(max(deadline - time.monotonic(), 0))

    def row(self) -> JobRow:
        """Return the job as a user sees it."""
        hosts = () if self.allocation is None else self.allocation.hosts
        return JobRow(self.label, self.nodes, self.state, self.reason, self.slots, hosts, self.seconds_left())
