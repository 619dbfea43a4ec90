"""End of a run whose job has no time left, or gets a signal: stop, flush, requeue."""

import logging
import os
import signal
import threading
import time
from collections.abc import Mapping

from hpcml.cluster.dispatch.dispatcher import Dispatcher
from hpcml.cluster.dispatch.limits import Limits
from hpcml.cluster.options import Options
from hpcml.errors import CommandError, OutOfTime
from hpcml.journal.run_journal import RunJournal
from hpcml.slurm.deadline import MARGIN_SECONDS, Deadline
from hpcml.slurm.job_ids import own_job
from hpcml.slurm.queries import requeue_job, time_left

__all__ = ["JobEnd"]

log = logging.getLogger("hpcml")

URGENT_SIGNALS = (signal.SIGTERM, signal.SIGHUP)  # Slurm sends SIGKILL next
TASKS_GRACE_SECONDS = 60.0  # for running tasks to end, where the end of the job is unknown
SCRIPT_GRACE_SECONDS = 5.0  # for the script to end after an urgent signal


class JobEnd:
    """Watches the job's time for one Cluster: stops the dispatcher, flushes the journal, requeues the job.

    Parameters
    ----------
    environment
        Holds the job's number, and its end.
    run_journal
        Flushed at each signal.
    """

    def __init__(self, options: Options, environment: Mapping[str, str], run_journal: RunJournal | None) -> None:
        self._requeues = options.requeue
        self._environment = environment
        self._run_journal = run_journal
        self._job = own_job(environment)
        self._dispatcher: Dispatcher | None = None
        self._stop_order: tuple[OutOfTime, float] | None = None
        self._kill_timer: threading.Timer | None = None
        end = environment.get("SLURM_JOB_END_TIME", "")
        seconds = int(end) - time.time() if self._job and end.isdigit() else None
        self.deadline = Deadline(self._ask if self._job else None, seconds, self._take_signal)
        self.limits = Limits(options.task_timeout, self.deadline.left, options.max_result_nbytes)

    def _ask(self) -> float | None:
        return time_left(self._job, self._environment)

    def watch(self, dispatcher: Dispatcher) -> None:
        """Have signals stop `dispatcher`; at once where one has come already."""
        self._dispatcher = dispatcher
        if self._stop_order is not None:
            dispatcher.stop(*self._stop_order)

    def _take_signal(self, number: int) -> None:
        name = signal.Signals(number).name
        urgent = number in URGENT_SIGNALS
        left = self.deadline.left()
        seconds = 0.0 if urgent else TASKS_GRACE_SECONDS if left is None else max(left, 0.0)
        wait = "" if urgent else f"; those that run have {seconds:.0f} s to end"
        log.warning("%s: no further task starts%s", name, wait)
        error = OutOfTime(
            f"stopped by {name}. All results so far are in the journal: go on with `hpcml run --resume`, or "
            "Cluster(resume=True)"
        )
        if self._stop_order is None or urgent:
            self._stop_order = (error, seconds)
        if self._dispatcher is not None:
            self._dispatcher.stop(*self._stop_order)
        if self._run_journal is not None:
            self._run_journal.sync()
        if urgent or self._requeues:
            wait_seconds = SCRIPT_GRACE_SECONDS if urgent else seconds + MARGIN_SECONDS / 2
            self._kill_timer = threading.Timer(wait_seconds, self._force, (number,))
            self._kill_timer.daemon = True
            self._kill_timer.start()

    def _force(self, number: int) -> None:
        """Act without the script, which has not ended: requeue the job; after an urgent signal, exit."""
        if self._requeues:
            self._requeue()
        if number in URGENT_SIGNALS:
            os._exit(128 + number)

    def finish(self, stopped: bool) -> None:
        """End the watch; when the work was `stopped` before its end, requeue the job."""
        if self._kill_timer is not None:
            self._kill_timer.cancel()
        self.deadline.close()
        if stopped and self._requeues:
            self._requeue()

    def _requeue(self) -> None:
        self._requeues = False
        try:
            if not self._job:
                raise CommandError("this is not a Slurm job")
            # Slurm may end this process before its command returns.
            log.warning("job %s goes back to the queue, to be resumed", self._job)
            requeue_job(self._job, self._environment)
        except CommandError as error:
            log.error("the job cannot be requeued: %s\nSubmit it again: with --resume it continues", error)
