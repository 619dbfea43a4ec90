"""Upkeep of a fleet, in its thread: jobs start, fail, and are replaced at their time limit."""

import logging
import time
from typing import TYPE_CHECKING

from hpcml.cluster.fleet.adapt import lead_seconds
from hpcml.cluster.fleet.job import FleetJob
from hpcml.cluster.fleet.job_plan import limit_of, plan_of_job
from hpcml.cluster.fleet.queue_watch import QueueWatch, end_in_words, state_in_words
from hpcml.cluster.fleet.workers import JobWorkers
from hpcml.errors import EngineError, HpcmlError, SubmissionError
from hpcml.slurm.deadline import MARGIN_SECONDS
from hpcml.slurm.jobs.states import Job
from hpcml.slurm.queries import parse_time_left

if TYPE_CHECKING:
    from hpcml.cluster.fleet.fleet import JobFleet

__all__ = ["Upkeep"]

log = logging.getLogger("hpcml")

REASON_SECONDS = 120.0  # for Slurm's reason of a loss, after which the fleet does without
REPORT_SECONDS = 60.0  # from the start of a job, as Slurm has it, to its report
SHOWN_REASONS = 8
TAKEN_AWAY = ("NODE_FAIL", "PREEMPTED")  # states of jobs that another replaces: nobody wanted their end


class Upkeep:
    """Looks after the jobs of a fleet.

    ``failure`` is set when no job is left that could have workers.
    """

    def __init__(self, fleet: "JobFleet") -> None:
        self._fleet = fleet
        self.queue = QueueWatch(fleet.plan.environment, fleet.news)
        self.failure: EngineError | None = None
        self._reasons: list[str] = []  # of jobs that are dropped

    def look(self, gap: float) -> None:
        """Look at all jobs once; `gap` are the seconds since the look before."""
        fleet = self._fleet
        silence = fleet.request.timing.silence
        if gap > silence:
            log.warning(
                "this process was stopped for %.0f s: jobs of a Cluster end after %g s without a sign of life",
                gap,
                silence,
            )
        for job in fleet.living("waiting"):
            self._look_for_report(job)
        self._watch_queue()
        for job in fleet.living():
            self._look_at(job)
        try:
            fleet.size.update(fleet.work())
        except SubmissionError as error:
            self._reasons.append(str(error))
            fleet.print_line(f"hpcml: {error}")
        self._check_failure()

    def _look_for_report(self, job: FleetJob) -> None:
        """Start the workers of a job that runs."""
        variables = job.read_report()
        if variables is not None:
            fleet = self._fleet
            alone = len(fleet.jobs) == 1
            plan = plan_of_job(fleet.plan, variables, min_slots=fleet.plan.min_slots if alone else None)
            job.limit = limit_of(variables) or fleet.request.limit_seconds
            job.start(plan, fleet.start_workers, fleet.news)

    def _look_at(self, job: FleetJob) -> None:
        """Take a job's workers, or its failure, and end it when it has drained."""
        if job.state == "starting":
            if job.error is not None:
                self._drop(job, str(job.error))
            elif job.workers is not None:
                self._take_workers(job)
        elif job.lost_at is not None:
            self._explain_loss(job)
        elif job.state in ("running", "draining"):
            self._watch_end(job)

    def _take_workers(self, job: FleetJob) -> None:
        """Send the workers of a job the data that there are, and then frames."""
        fleet = self._fleet
        assert job.workers is not None
        joined = JobWorkers(job.label, job.workers, job.limit)
        job.workers.on_broken = lambda error: self._lose(job, error)

        def _join() -> None:
            job.join(joined)
            fleet.workers.join(joined)

        try:
            fleet.staging.join(job.label, job.workers.staging, _join)  # type: ignore[arg-type]  # it is by sbcast
        except HpcmlError as error:
            self._drop(job, str(error))
            return
        fleet.size.note_success()
        with fleet.changed:
            fleet.changed.notify_all()
        if fleet.is_open:
            hosts = "" if job.allocation is None else f" on {', '.join(job.allocation.hosts)}"
            fleet.print_line(f"hpcml: job {job.label} joins with {job.slots} slots{hosts}")

    # -- ends ----------------------------------------------------------------------------------------------------
    def _lose(self, job: FleetJob, error: BaseException) -> None:
        """Note that a job has no worker left; called by its engine."""
        if job.lost_at is None and job.state != "ended":
            job.error = error
            job.lost_at = time.time()
            self._end_workers(job, f"job {job.label} has ended")
            self._fleet.news()

    def _explain_loss(self, job: FleetJob) -> None:
        """End a job whose workers are lost, once it is clear whether that is a failure."""
        assert job.lost_at is not None
        left = job.seconds_left()
        found = self.queue.find(job.label, job.lost_at)
        if job.state == "draining":
            self._finish(job)
        elif (left is not None and left < MARGIN_SECONDS) or (found is not None and found.state == "TIMEOUT"):
            self._fleet.size.note_end(job, lead_seconds(job.limit or 0.0))
            self._finish(job)
        elif found is not None and not found.may_run:
            job.leaves = job.leaves or found.state in TAKEN_AWAY
            self._drop(job, end_in_words(found, self._fleet.log_of(job), self.queue.late(job.label)))
        elif time.time() > job.lost_at + REASON_SECONDS or (found is not None and found.state == "RUNNING"):
            self._drop(job, str(job.error))

    def _watch_end(self, job: FleetJob) -> None:
        """Have a job replaced and drained before its time limit; end it when it has drained."""
        fleet = self._fleet
        left = job.seconds_left()
        lead = lead_seconds(job.limit or 0.0)
        if left is not None and left < lead and not job.leaves and fleet.size.was_busy(lead):
            job.leaves = True
            job.reason = "its time limit is near, and another job takes its place"
            fleet.print_line(f"hpcml: job {job.label} ends in {left:.0f} s: another takes its place")
            return
        is_replaced = job.leaves and not fleet.living("waiting", "starting")
        is_late = left is not None and left < 2 * MARGIN_SECONDS
        if job.state == "running" and job.joined is not None and (is_replaced or is_late):
            job.drain(job.reason or "its time limit is near")
            fleet.workers.drain(job.joined)
        if job.state == "draining" and not job.frames:
            if is_late:
                fleet.size.note_end(job, lead)
            self._finish(job)

    def _finish(self, job: FleetJob) -> None:
        """End a job that has done its work."""
        self._end_workers(job, f"job {job.label} has ended")
        self._fleet.cancel([job])

    def _drop(self, job: FleetJob, reason: str) -> None:
        """Give up a job that has failed."""
        self._reasons.append(f"job {job.label}: {reason}")
        replaced = "; another takes its place" * job.leaves
        self._fleet.print_line(f"hpcml: job {job.label} is dropped: {reason}{replaced}")
        self._fleet.size.note_failure(job)
        self._end_workers(job, f"job {job.label} is lost: {reason.splitlines()[0]}")
        self._fleet.cancel([job])

    def _end_workers(self, job: FleetJob, reason: str) -> None:
        self._fleet.staging.leave(job.label)
        if job.joined is not None:
            self._fleet.workers.leave(job.joined, reason)

    def _check_failure(self) -> None:
        """Give up when no job is left, and none is going to be submitted."""
        fleet = self._fleet
        if self.failure is not None or fleet.living() or not self._reasons or not fleet.size.is_hopeless:
            return
        reasons = "\n    ".join(self._reasons[-SHOWN_REASONS:])
        self.failure = EngineError(f"this Cluster has no job left:\n    {reasons}")
        fleet.workers.on_broken(self.failure)
        with fleet.changed:
            fleet.changed.notify_all()

    # -- Slurm's queue -------------------------------------------------------------------------------------------
    def _watch_queue(self) -> None:
        """Look for jobs in the queue, while there is something to learn about them."""
        jobs = [job for job in self._fleet.living() if job.is_unclear]
        if not jobs:
            return
        self.queue.poll()
        for job in jobs:
            found = self.queue.find(job.label)
            if found is None:
                continue
            if job.state == "waiting":
                self._note_waiting(job, found)
            elif job.limit is None and job.started is not None and found.time_left[:1].isdigit():
                left = parse_time_left(found.time_left)
                asked = time.monotonic() - (time.time() - self.queue.listing.asked)
                job.limit = None if left is None else asked + left - job.started

    def _note_waiting(self, job: FleetJob, found: Job) -> None:
        """Show a change of a job that waits; drop one that will not start, or whose report does not come."""
        late = self.queue.late(job.label)
        words = state_in_words(found, late if found.state == "CONFIGURING" else "")
        if not found.may_run:
            self._drop(job, end_in_words(found, self._fleet.log_of(job), late))
        elif found.state == "RUNNING":
            job.runs_since = job.runs_since or time.monotonic()
            if time.monotonic() > job.runs_since + REPORT_SECONDS:
                self._drop(job, f"it runs, but its report {job.report} is not seen here: do all nodes share it?")
        elif words != job.reason and found.reason != "None":  # Slurm has looked at it
            job.reason = words
            self._fleet.print_line(f"hpcml: job {job.label}: {words}")
