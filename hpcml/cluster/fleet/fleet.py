"""Fleet of jobs: submitted for a Cluster, watched, replaced, and ended with it.

::

    caller ── scale, adapt, close ──┐                  ┌── sbatch, scancel
    jobs' reports, heartbeat's end ─┼──> fleet thread ─┼── threads of the jobs: engines start and end
    Slurm's queue, once a minute ───┘   (`Upkeep`)     └── FleetWorkers: jobs join, drain, leave

A lock protects the jobs and the size: the fleet thread and callers change both.
"""

import contextlib
import logging
import queue
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from hpcml.cluster.fleet.adapt import Work
from hpcml.cluster.fleet.job import FleetJob, JobRow
from hpcml.cluster.fleet.job_plan import joined_nodes
from hpcml.cluster.fleet.lifeline import Lifeline
from hpcml.cluster.fleet.request import Request, job_sizes
from hpcml.cluster.fleet.size import FleetSize
from hpcml.cluster.fleet.staging import FleetStaging
from hpcml.cluster.fleet.upkeep import Upkeep
from hpcml.cluster.fleet.workers import FleetWorkers
from hpcml.data.staging.files import directory_in
from hpcml.engines import Starter, import_library
from hpcml.engines.plan import Plan
from hpcml.errors import CommandError, EngineError
from hpcml.journal.private_files import write_new
from hpcml.slurm.jobs.site import read_site
from hpcml.slurm.jobs.submission import cancel_jobs, submit_job
from hpcml.slurm.process import Inbox

__all__ = ["JobFleet"]

log = logging.getLogger("hpcml")

STOP_SECONDS = 20.0  # for the workers of all jobs to end
PAUSE_SECONDS = 2.0  # between two looks, without news
REPORT_SECONDS = 0.2  # between two looks for the reports of jobs that were submitted lately
LATELY_SECONDS = 120.0
ADVICE = "with Cluster(run_dir=…)"


class JobFleet:
    """The jobs of a Cluster.

    Parameters
    ----------
    request
        The nodes that are asked for.
    start_workers
        Starts the engine in one job.
    print_line
        Shows a line to the user.
    """

    def __init__(self, request: Request, start_workers: Starter, print_line: Callable[[str], None]) -> None:
        self.request = request
        self.print_line = print_line
        self.start_workers = start_workers
        self.jobs: list[FleetJob] = []
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)  # a job has other workers, or none can come
        self.work: Callable[[], Work] = lambda: Work(0)
        self.is_open = self._closing = False  # the Cluster is ready, and ending
        self.size = FleetSize(self, request.nodes)
        self._inbox: Inbox = queue.SimpleQueue()
        self._reports = 0

    @contextmanager
    def start(self, plan: Plan) -> Iterator[FleetWorkers]:
        """Submit the jobs, and yield their workers when enough of them are ready; in the end, end all jobs.

        Raises
        ------
        SubmissionError
            Slurm refuses a job.
        EngineError
            No job has started, or too few workers; the message has Slurm's reasons.
        """
        self.plan = plan
        shared = "" if plan.data_dir is None else directory_in(str(plan.data_dir), plan.data_name)
        memory, *others = replace(plan, data_dir=None).data_places
        self.staging = FleetStaging((*others, memory), shared)
        self.workers = FleetWorkers(self.staging, self._expected_slots)
        self._lifeline = Lifeline(plan.run_dir, self.request.timing.beat, plan.environment, self._inbox)
        self._upkeep = Upkeep(self)
        self._thread = threading.Thread(target=self._run, name="hpcml-fleet", daemon=True)
        try:
            self.submit(self.request.nodes)
            self._thread.start()
            import_library("ipyparallel")  # while the job starts
            self._wait_ready()
            self.is_open = True
            yield self.workers
        finally:
            self._end()

    @property
    def opened_plan(self) -> Plan:
        """Plan of the nodes that have workers."""
        plans = [job.plan for job in self.living("running") if job.plan is not None]
        return replace(self.plan, nodes=joined_nodes(plans) or self.plan.nodes)

    @property
    def where(self) -> str:
        """The jobs that have workers, or that are awaited, in words."""
        labels = [job.label for job in self.living("running") or self.living()]
        return f"job{'s' * (len(labels) > 1)} {', '.join(labels)}" if labels else "no job"

    def log_of(self, job: FleetJob) -> Path:
        """Return the path of a job's log."""
        return self.plan.run_dir / f"job-{job.label}.log"

    # -- the jobs ------------------------------------------------------------------------------------------------
    def submit(self, nodes: int) -> None:
        """Submit jobs of so many nodes together.

        Raises
        ------
        SubmissionError
            Slurm refuses a job; those before it stay.
        """
        environment = self.plan.environment
        for size in job_sizes(nodes, self.request.nodes_per_job):
            report = self.plan.run_dir / f"report-{self._reports}"
            self._reports += 1
            write_new(report, b"")
            script = self.request.script(size, sys.executable, self.plan.run_dir, report, read_site(environment))
            try:
                label = str(submit_job(script, environment, self.plan.run_dir, ADVICE))
            except BaseException:
                report.unlink(missing_ok=True)
                raise
            with self.lock:
                self.jobs.append(FleetJob(label, size, report))
                self._lifeline.set_jobs([job.label for job in self.living()])
            self._upkeep.queue.note_submitted(label, size, script.options["job-name"] or "")
            self.print_line(f"hpcml: job {label} is submitted, {self.request.describe(size)}")

    def cancel(self, jobs: list[FleetJob]) -> None:
        """Cancel jobs, whatever their state; Slurm's refusal is logged."""
        if not jobs:
            return
        for job in jobs:
            job.begin_stop()
        try:
            cancel_jobs([job.label for job in jobs], self.plan.environment)
        except CommandError as error:
            if not re.search("Invalid job id|already complet", str(error)):  # it has ended
                log.warning("%s", error)
        with self.lock:
            for job in jobs:
                job.end()
            self._lifeline.set_jobs([job.label for job in self.living()])

    def living(self, *states: str) -> list[FleetJob]:
        """Return the jobs that have not ended, or those in one of `states`."""
        with self.lock:
            return [job for job in self.jobs if (job.state in states if states else job.state != "ended")]

    def _expected_slots(self) -> int:
        known = [job for job in self.jobs if job.slots]
        per_node = known[-1].slots / known[-1].nodes if known else self.request.ntasks_per_node or 1
        awaited = sum(job.nodes for job in self.living("waiting", "starting")) or self.size.nodes
        return int(awaited * per_node)

    def rows(self) -> tuple[JobRow, ...]:
        """Return the jobs that have not ended, as a user sees them."""
        return tuple(job.row() for job in self.living())

    # -- the fleet thread ----------------------------------------------------------------------------------------
    def news(self) -> None:
        """Have the fleet thread look at once."""
        self._inbox.put((None, None))

    def _run(self) -> None:
        while not self._closing:
            began = time.monotonic()
            with contextlib.suppress(queue.Empty):
                program, _ = self._inbox.get(timeout=self._pause())
                if not self._closing:
                    self._lifeline.restart(program)
            if self._closing:
                return
            try:
                self._upkeep.look(time.monotonic() - began)
            except Exception as error:  # no task may wait for ever because of it
                log.exception("the fleet of jobs failed")
                self.workers.on_broken(error)

    def _pause(self) -> float:
        awaited = self.living("waiting")
        is_late = all(time.monotonic() > job.submitted + LATELY_SECONDS for job in awaited)
        return PAUSE_SECONDS if is_late else REPORT_SECONDS

    def _wait_ready(self) -> None:
        """Wait for the workers of the jobs that have started, and for `min_slots` of them."""
        began = awaited = time.monotonic()
        timeout = self.request.queue_timeout
        with self.changed:
            while not self._is_ready():
                now = time.monotonic()
                awaited = now if self.living("waiting", "starting") else awaited
                if self._upkeep.failure is not None:
                    raise self._upkeep.failure
                if self.plan.unwanted.is_set():
                    raise EngineError("the Cluster was closed before its jobs had started")
                if timeout is not None and now > began + timeout and not self.living("starting"):
                    raise self._too_few(f"within queue_timeout={timeout:g} s")
                if now > awaited + self.plan.timeout:  # the other jobs were dropped
                    raise self._too_few(f"for min_slots={self.plan.min_slots}, and no job is awaited")
                self.changed.wait(0.5)

    def _too_few(self, when: str) -> EngineError:
        jobs = self.living()
        states = "\n    ".join(f"job {job.label}: {job.reason or job.state}" for job in jobs) or "none is left"
        return EngineError(f"{self.workers.ready} workers have come {when}; the jobs are cancelled:\n    {states}")

    def _is_ready(self) -> bool:
        wanted = self.plan.min_slots
        if wanted is not None:
            return self.workers.ready >= wanted
        return self.workers.ready > 0 and not self.living("starting")

    # -- the end -------------------------------------------------------------------------------------------------
    def _end(self) -> None:
        """End the workers of all jobs, and cancel the jobs; what fails here is left to the jobs themselves."""
        self._closing = True
        self.news()
        deadline = time.monotonic() + STOP_SECONDS
        if self._thread.is_alive():
            self._thread.join(deadline - time.monotonic())
        for job in self.jobs:
            job.begin_stop()
        self.cancel(self.living("waiting"))
        for job in self.jobs:  # the workers end in order, and remove what is on the nodes
            job.wait_stopped(deadline)
        self.cancel(self.living())
        self.staging.close()
        self._lifeline.close()
