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
from hpcml.slurm.queries import requeue_job, time_left

__all__ = ["JobEnd"]

log = logging.getLogger("hpcml")

URGENT = (signal.SIGTERM, signal.SIGHUP)  # what follows them is SIGKILL
PATIENCE = 60.0  # seconds that running tasks are given where it is not known how long there is
GRACE = 5.0  # seconds for the script to end after an urgent signal


class JobEnd:
    """Watches the time of one Cluster, and ends its work in order.

    Parameters
    ----------
    environment
        Tells the job, and when it ends.
    run_journal
        Is flushed first of all.
    """

    def __init__(self, options: Options, environment: Mapping[str, str], run_journal: RunJournal | None) -> None:
        self._requeues = options.requeue
        self._environment = environment
        self._run_journal = run_journal
        self._job = environment.get("SLURM_JOB_ID", "")
        self._dispatcher: Dispatcher | None = None
        self._told: tuple[OutOfTime, float] | None = None
        self._last_resort: threading.Timer | None = None
        end = environment.get("SLURM_JOB_END_TIME", "")
        seconds = int(end) - time.time() if self._job and end.isdigit() else None
        self.deadline = Deadline(self._ask if self._job else None, seconds, self._take_signal)
        self.limits = Limits(options.task_timeout, self.deadline.left, options.max_result_nbytes)

    def _ask(self) -> float | None:
        return time_left(self._job, self._environment)

    def watch(self, dispatcher: Dispatcher) -> None:
        """Stop `dispatcher` when the time comes; it may have come already."""
        self._dispatcher = dispatcher
        if self._told is not None:
            dispatcher.stop(*self._told)

    def _take_signal(self, number: int) -> None:
        name, urgent, left = signal.Signals(number).name, number in URGENT, self.deadline.left()
        seconds = 0.0 if urgent else PATIENCE if left is None else max(left, 0.0)
        wait = "" if urgent else f"; those that run have {seconds:.0f} s to end"
        log.warning("%s: no further task starts%s", name, wait)
        error = OutOfTime(
            f"stopped by {name}. All that has ended is in the journal: go on with `hpcml run --resume`, or "
            "Cluster(resume=True)"
        )
        self._told = self._told if self._told is not None and not urgent else (error, seconds)
        if self._dispatcher is not None:
            self._dispatcher.stop(*self._told)
        if self._run_journal is not None:
            self._run_journal.sync()
        if urgent or self._requeues:
            wait_seconds = GRACE if urgent else seconds + MARGIN_SECONDS / 2
            self._last_resort = threading.Timer(wait_seconds, self._force, (number,))
            self._last_resort.daemon = True
            self._last_resort.start()

    def _force(self, number: int) -> None:
        """Act without the script, which has not ended: requeue the job; after an urgent signal, exit."""
        if self._requeues:
            self._requeue()
        if number in URGENT:
            os._exit(128 + number)

    def finish(self, stopped: bool) -> None:
        """Watch no longer; when the work was `stopped` before its end, put the job back in the queue."""
        if self._last_resort is not None:
            self._last_resort.cancel()
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
            log.error(
                "the job cannot be requeued: %s\nSubmit it again: with --resume it goes on where it was", error
            )
