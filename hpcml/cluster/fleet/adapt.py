"""Decisions about the size of a fleet, from its work and its jobs."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hpcml.cluster.progress import Totals

__all__ = ["Adaptation", "JobSize", "Work", "lead_seconds", "surplus_jobs", "wanted_nodes", "work_of"]

WORK_SECONDS = 10.0  # of work for each slot are worth another node; a job takes as long to start
DECISIONS_UP = 2  # in a row, before a fleet grows
DOWN_SECONDS = 30.0  # of less work, before a fleet shrinks
LEAD_SECONDS = 60.0  # before its end, a job is replaced; or a tenth of its time
MAX_LEAD_SECONDS = 600.0


@dataclass(frozen=True)
class Work:
    """Calls that wait or run, and the mean seconds of one; None: unknown."""

    calls: int
    seconds: float | None = None


def work_of(counts: Callable[[], tuple[int, int]], totals: Totals) -> Work:
    """Return the work of a Cluster: `counts` returns its calls in flight and waiting.

    Examples
    --------
    >>> from hpcml.cluster.fleet.adapt import work_of
    >>> from hpcml.cluster.progress import Totals
    >>> work_of(lambda: (4, 16), Totals(tasks=10, busy=25.0))
    Work(calls=20, seconds=2.5)
    """
    return Work(sum(counts()), totals.busy / totals.tasks if totals.tasks else None)


@dataclass(frozen=True)
class JobSize:
    """A job as a fleet that shrinks sees it; ``started`` on the monotonic clock, None for one that waits."""

    label: str
    nodes: int
    frames: int = 0
    started: float | None = None


def wanted_nodes(work: Work, slots_per_node: int, minimum: int, maximum: int) -> int:
    """Return the nodes that the work is worth: a slot for each call, and `WORK_SECONDS` for each slot.

    Examples
    --------
    >>> from hpcml.cluster.fleet.adapt import Work, wanted_nodes
    >>> [wanted_nodes(Work(calls), 4, minimum=1, maximum=8) for calls in (0, 5, 1000)]
    [1, 2, 8]
    >>> wanted_nodes(Work(1000, seconds=0.01), 4, minimum=1, maximum=8)
    1
    """
    slots = work.calls
    if work.seconds is not None:
        slots = min(slots, math.ceil(work.calls * work.seconds / WORK_SECONDS))
    return max(minimum, min(maximum, math.ceil(slots / max(slots_per_node, 1))))


class Adaptation:
    """Size of a fleet that follows its work: it grows when two decisions in a row ask for that, it shrinks late.

    Examples
    --------
    >>> from hpcml.cluster.fleet.adapt import Adaptation, Work
    >>> adaptation = Adaptation(minimum=1, maximum=8)
    >>> [adaptation.decide(Work(16), nodes=1, slots_per_node=4, now=now) for now in (0.0, 2.0)]
    [1, 4]
    >>> [adaptation.decide(Work(0), nodes=4, slots_per_node=4, now=now) for now in (10.0, 39.0, 41.0)]
    [4, 4, 1]
    """

    def __init__(self, minimum: int, maximum: int) -> None:
        if not 0 <= minimum <= maximum or maximum < 1:
            raise ValueError(
                f"adapt(minimum={minimum}, maximum={maximum}): a fleet has 0 nodes or more, at least one at most, "
                "and the minimum is not above the maximum"
            )
        self.minimum = minimum
        self.maximum = maximum
        self._asked_more = 0
        self._less_since: float | None = None

    def decide(self, work: Work, nodes: int, slots_per_node: int, now: float) -> int:
        """Return the number of nodes that a fleet of `nodes` nodes should have, waiting ones included."""
        wanted = wanted_nodes(work, slots_per_node, self.minimum, self.maximum)
        self._asked_more = self._asked_more + 1 if wanted > nodes else 0
        if wanted >= nodes:
            self._less_since = None
        elif self._less_since is None:
            self._less_since = now
        if self._asked_more >= DECISIONS_UP or nodes < self.minimum:
            return wanted
        if self._less_since is not None and now >= self._less_since + DOWN_SECONDS:
            return wanted
        return min(nodes, self.maximum)


def surplus_jobs(jobs: Sequence[JobSize], wanted: int) -> list[str]:
    """Return jobs that a fleet can spare, whole ones: those that wait, then those with the fewest frames.

    Examples
    --------
    >>> from hpcml.cluster.fleet.adapt import JobSize, surplus_jobs
    >>> jobs = [JobSize("7", 2, frames=8, started=0.0), JobSize("8", 2, started=5.0), JobSize("9", 4)]
    >>> surplus_jobs(jobs, wanted=2), surplus_jobs(jobs, wanted=3), surplus_jobs(jobs, wanted=7)
    (['9', '8'], ['9'], [])
    """
    spared = []
    left = sum(job.nodes for job in jobs)
    for job in sorted(jobs, key=lambda job: (job.started is not None, job.frames, -(job.started or 0.0))):
        if left - job.nodes >= wanted:
            spared.append(job.label)
            left -= job.nodes
    return spared


def lead_seconds(limit: float) -> float:
    """Return how long before its end a job with a time limit of `limit` seconds is replaced.

    Examples
    --------
    >>> from hpcml.cluster.fleet.adapt import lead_seconds
    >>> [lead_seconds(minutes * 60) for minutes in (1, 5, 60, 1440)]
    [30.0, 60.0, 360.0, 600.0]
    """
    return min(max(LEAD_SECONDS, limit / 10), MAX_LEAD_SECONDS, limit / 2)
