"""Facts about a Cluster at one moment, as its displays show them."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hpcml.cluster.fleet.job import JobRow
from hpcml.cluster.opening import place_of

if TYPE_CHECKING:
    from hpcml.cluster.session import Session

__all__ = ["ClusterFacts", "facts_of"]


@dataclass(frozen=True)
class ClusterFacts:
    """State of a Cluster.

    Parameters
    ----------
    state
        ``"open"``, ``"starting"`` before its workers are ready, or ``"closed"``.
    place
        Its job, or this computer.
    slots
        Slots of each host.
    jobs
        The jobs that it has submitted; none where it uses an allocation.
    recalled
        Tasks whose results come from the journal.
    running, queued
        Tasks that run, and tasks that wait for a slot.
    seconds_left
        Until no task starts any more, because the job ends; None without a limit.
    at
        Time of day, in words.
    """

    state: str
    engine: str
    place: str
    slots: Mapping[str, int]
    run_dir: str = ""
    jobs: tuple[JobRow, ...] = ()
    done: int = 0
    failed: int = 0
    recalled: int = 0
    running: int = 0
    queued: int = 0
    seconds_left: float | None = None
    at: str = ""


def facts_of(session: "Session", closed: bool) -> ClusterFacts:
    """Return the state of a session now, without waiting for its workers; `closed`: its Cluster was shut down."""
    fleet = session.fleet
    facts = ClusterFacts(
        state="closed" if closed else "starting",
        engine=session.engine,
        place=place_of(session.plan) if fleet is None else fleet.where,
        slots={},
        run_dir=str(session.run_dir),
        jobs=() if fleet is None else fleet.rows(),
        at=time.strftime("%H:%M:%S"),
    )
    running = session.running_now
    if running is None:
        return facts
    hosts = set(running.workers.hosts)
    plan = session.plan if fleet is None else fleet.opened_plan
    totals = running.monitor.totals
    sent, waiting = (0, 0) if closed else running.dispatcher.counts()
    at_work = min(sent, running.workers.slots)  # the others are behind these in their frames
    return replace(
        facts,
        state="closed" if closed else "open",
        slots={node.name: node.slots for node in plan.nodes if node.name in hosts},
        done=totals.tasks,
        failed=totals.failed,
        recalled=totals.recalled,
        running=at_work,
        queued=waiting + sent - at_work,
        seconds_left=session.job_end.limits.seconds_left(),
    )
