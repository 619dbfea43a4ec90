"""Account of a fleet: the time of its slots and CPUs. Pure functions."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Protocol

from hpcml.cluster.progress import Totals
from hpcml.engines.plan import Plan

__all__ = ["TimedJob", "final_totals"]


class TimedJob(Protocol):
    """A job with its times on one clock, None before them; and the plan of its workers."""

    started: float | None
    ended: float | None
    plan: Plan | None


def final_totals(totals: Totals, jobs: Iterable[TimedJob], now: float) -> Totals:
    """Return the totals of a Cluster whose jobs came and went until `now`: the most slots, the hosts of all."""
    timed = [(job.started, job.ended or now, job.plan) for job in jobs if job.started is not None and job.plan]
    at_once = [sum(plan.slots for began, ended, plan in timed if began <= start < ended) for start, *_ in timed]
    return replace(
        totals,
        slots=max(at_once, default=totals.slots),
        hosts=len({node.name for *_, plan in timed for node in plan.nodes}),
        slot_seconds=sum((ended - began) * plan.slots for began, ended, plan in timed),
        cpu_seconds=sum((ended - began) * plan.cpus for began, ended, plan in timed),
    )
