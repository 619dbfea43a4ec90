"""End of a run of ranks: signals of this process, the job's time, and the job's way back to the queue."""

import os
import signal
import sys
import threading
import time
from collections.abc import Mapping

from hpcml.errors import CommandError
from hpcml.slurm.deadline import Deadline
from hpcml.slurm.job_ids import own_job
from hpcml.slurm.process import Inbox
from hpcml.slurm.queries import requeue_job, time_left
from hpcml.training.ranks.launch import ENDING, Ranks

__all__ = ["RunEnd"]

NOTICE_SECONDS = 25.0  # from SIGTERM, for a last checkpoint, to the end of the ranks' time
LOOK_SECONDS = 60.0  # the time limit of a job can be changed
EXIT_SECONDS = 60.0  # after a signal that ends the ranks, for all that follows
SIGNAL_SECONDS = 60.0  # for the ranks to end after USR1 or USR2, where the end of the job is unknown


class RunEnd:
    """Watch of signals and of the job's time, which ends when the context is left.

    Parameters
    ----------
    inbox
        Gets each signal of this process, as a message ``{"signal": number}``.
    requeues
        Whether a job whose time is over, or that gets a signal, goes back to the queue.
    """

    def __init__(self, environment: Mapping[str, str], inbox: Inbox, requeues: bool) -> None:
        self.environment = environment
        self._inbox = inbox
        self._requeues = requeues
        self._job = own_job(environment)
        self._exit: threading.Timer | None = None

    def __enter__(self) -> "RunEnd":
        end = self.environment.get("SLURM_JOB_END_TIME", "")
        seconds = int(end) - time.time() if self._job and end.isdigit() else None
        asks = self._requeues and bool(self._job)
        self._deadline = Deadline(self._ask if asks else None, seconds if asks else None, self._take)
        self._interrupt = signal.getsignal(signal.SIGINT)
        if self._interrupt == signal.default_int_handler:
            signal.signal(signal.SIGINT, lambda number, _: self._take(number))
        return self

    def __exit__(self, *_: object) -> None:
        if self._exit is not None:
            self._exit.cancel()
        signal.signal(signal.SIGINT, self._interrupt)
        self._deadline.close()

    def _ask(self) -> float | None:
        return time_left(self._job, self.environment)

    def _take(self, number: int) -> None:
        self._inbox.put((None, {"signal": number}))
        if number in ENDING and self._exit is None:
            # This process may wait for the reader of its output for ever. The ranks end with it.
            self._exit = threading.Timer(EXIT_SECONDS, os._exit, (128 + number,))
            self._exit.daemon = True
            self._exit.start()

    def seconds_for(self, number: int) -> float | None:
        """Return the seconds that ranks have to end after a signal; None where that is for `Ranks` to say."""
        if not self._requeues or number in ENDING:
            return None
        left = self._deadline.left()
        return SIGNAL_SECONDS if left is None else max(left, 0.0)

    def watch(self, ranks: Ranks) -> float | None:
        """End the ranks where the job's time is over; return the seconds until the next look."""
        left = self._deadline.left() if self._requeues else None
        if left is None or ranks.is_stopped:
            return None
        if left > NOTICE_SECONDS:
            return min(left - NOTICE_SECONDS, LOOK_SECONDS)
        print("hpcml: the time of the job is over: the ranks get SIGTERM", file=sys.stderr, flush=True)
        ranks.pass_on(signal.SIGTERM, max(left, 0.0))
        return None

    def finish(self, status: int) -> int:
        """Put a job that got signals back into the queue, where that is wanted; return the exit status."""
        if not self._requeues:
            return status
        try:
            if not self._job:
                raise CommandError("this is not a Slurm job")
            print(f"hpcml: job {self._job} goes back to the queue", file=sys.stderr, flush=True)
            requeue_job(self._job, self.environment)  # Slurm may end this process before that returns
        except CommandError as error:
            print(f"hpcml: the job cannot be requeued: {error}", file=sys.stderr, flush=True)
            return status or os.EX_TEMPFAIL
        return os.EX_TEMPFAIL
