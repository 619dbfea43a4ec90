"""Job of one function: a future whose function runs in a Slurm job of its own."""

import contextlib
import os
import time
from concurrent.futures import Future, InvalidStateError
from pathlib import Path
from typing import Any, Self

from hpcml.cluster.jobs.folder import JobFolder, find_folder
from hpcml.cluster.jobs.scheduler import Scheduler, scheduler_of
from hpcml.cluster.jobs.watcher import watch
from hpcml.data.outcomes import unpack_outcome
from hpcml.errors import HpcmlError, JobFailed
from hpcml.slurm.jobs.queue import Listing
from hpcml.slurm.jobs.reasons import reason_in_words
from hpcml.slurm.jobs.states import FORGOTTEN
from hpcml.slurm.jobs.states import Job as SlurmJob
from hpcml.slurm.process import tail

__all__ = ["Job"]


class Job(Future[Any]):
    """A job that runs one function: a `concurrent.futures.Future`, made by `hpcml.submit`.

    ``hpcml.Job(id)`` is the job again in another process, or after a restart of the driver. A Job can be pickled.

    Parameters
    ----------
    id
        The job's number.
    folder
        Its folder, which is found from the number in the directory from which the job was submitted: the working
        directory, or the one that Slurm knows.

    Raises
    ------
    HpcmlError
        There is no such folder.

    Examples
    --------
    >>> import hpcml
    >>> hpcml.Job("local-7")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    hpcml.errors.HpcmlError: job local-7 was not submitted by hpcml.submit from here: ...
    """

    _scheduler: Scheduler

    def __init__(self, id: int | str, folder: str | Path | None = None) -> None:
        super().__init__()
        self.id = str(id)
        self._scheduler = scheduler_of(self.id)
        if folder is None:
            found = find_folder(self.id, self._places())
        else:
            found = JobFolder(Path(folder).absolute())
            found.check()
        self._start(found)

    @classmethod
    def _submitted(cls, id: str, folder: JobFolder, scheduler: Scheduler) -> Self:
        """Return the job of a folder that was just submitted."""
        job = cls.__new__(cls)
        Future.__init__(job)
        job.id = id
        job._scheduler = scheduler
        job._start(folder)
        return job

    def _start(self, folder: JobFolder) -> None:
        self._folder = folder
        self._made = time.time()
        self._process = os.getpid()
        self._job_state = ""
        self._job_reason = ""
        self._scheduler.watch(self.id, folder)
        if not self._look(None):
            watch(self)

    def _places(self) -> list[Path]:
        known = [Path(job.directory) for job in self._scheduler.read().find(self.id) if job.directory]
        return list(dict.fromkeys([Path.cwd(), *known]))

    # -- what Slurm knows ----------------------------------------------------------------------------------------
    @property
    def folder(self) -> Path:
        """Directory of the job's files: its function, its outcome and its log."""
        return self._folder.path

    @property
    def state(self) -> str:
        """Slurm's state of the job, such as ``PENDING``, as it was a minute ago at most."""
        if not self.done():
            self._note(self._find(self._scheduler.read()))
        return self._job_state

    @property
    def reason(self) -> str:
        """The reason why the job waits, or has ended without a result, in words; else ""."""
        _ = self.state
        return self._job_reason

    def running(self) -> bool:
        """Return whether the job has started, and has not ended."""
        return not self.done() and self.state in ("RUNNING", "COMPLETING", "SUSPENDED")

    @property
    def log(self) -> Path:
        """File of the job's output, which need not exist before the job starts."""
        return self._folder.log

    def stdout(self) -> str:
        """Return what the job has printed so far, on standard output and error; "" before it starts."""
        try:
            return self.log.read_text(errors="replace")
        except FileNotFoundError:
            return ""

    # -- the future ----------------------------------------------------------------------------------------------
    def cancel(self) -> bool:
        """Cancel the job, also when it runs; return False where it has ended.

        Raises
        ------
        CommandError
            Slurm does not answer.
        """
        if self._look(None):
            return self.cancelled()
        self._scheduler.cancel([self.id])
        self._job_state, self._job_reason = "CANCELLED", "it was cancelled"
        if super().cancel():
            self.set_running_or_notify_cancel()
        return self.cancelled()

    def result(self, timeout: float | None = None) -> Any:
        """Return the value of the function, or raise its exception; wait for the end of the job.

        Raises
        ------
        JobFailed
            The job has ended without a result: its time was over, its node failed, it was cancelled, …
        CancelledError
            This Job was cancelled by `cancel`.
        TimeoutError
            The job has not ended after `timeout` seconds.
        """
        self._watch_here()
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return the exception that `result` would raise, or None; see `result`."""
        self._watch_here()
        return super().exception(timeout)

    def _watch_here(self) -> None:
        """Watch the job in this process, where it was made in the one that has forked this one."""
        if self._process != os.getpid():
            self._process = os.getpid()
            if not self._look(None):
                watch(self)

    def _refresh(self) -> None:
        self._folder.refresh()

    def _look(self, listing: Listing | None) -> bool:
        """Look for the job's end; see `hpcml.cluster.jobs.watcher.Watched`."""
        if self.done() or self._take_outcome():
            return True
        if listing is None:
            return False
        job = self._find(listing)
        self._note(job)
        if job is None or job.may_run:
            return False
        self._folder.refresh()
        if not self._take_outcome():
            self._resolve(None, self._failure(job))
        return True

    def _find(self, listing: Listing) -> SlurmJob | None:
        """Return this job in a listing; a job that Slurm no longer knows is FORGOTTEN."""
        found = listing.find(self.id)
        if found:
            return found[-1]
        if listing.problem or listing.asked <= self._made:
            return None
        return SlurmJob(0, self.id, FORGOTTEN)

    def _note(self, job: SlurmJob | None) -> None:
        if job is not None and not self.done():
            self._job_state, self._job_reason = job.state, reason_in_words(job)

    def _take_outcome(self) -> bool:
        """Resolve the future where the job has written an outcome."""
        try:
            content = self._folder.read("outcome")
        except HpcmlError as error:
            self._resolve(None, error)
            return True
        if content is None:
            return False
        outcome = unpack_outcome(content, f"job {self.id}")
        self._job_state = "COMPLETED" if outcome.error is None else "FAILED"
        self._job_reason = outcome.error.reason if isinstance(outcome.error, JobFailed) else ""
        self._resolve(outcome.value, outcome.error)
        return True

    def _resolve(self, value: Any, error: BaseException | None) -> None:
        with contextlib.suppress(InvalidStateError):  # it was cancelled, or another thread has seen the same
            if error is None:
                self.set_result(value)
            else:
                self.set_exception(error)

    def _failure(self, job: SlurmJob) -> JobFailed:
        reason = reason_in_words(job) or "its program has ended before the function"
        message = f"job {self.id} has no result: {job.state}, {reason}. The end of its log, {self.log}:\n"
        return JobFailed(message + tail(self.stdout()), job.state, reason)

    def __reduce__(self) -> tuple[type["Job"], tuple[str, str]]:
        return Job, (self.id, str(self.folder))

    def __repr__(self) -> str:
        return f"<hpcml.Job {self.id} {self._job_state or 'PENDING'} {self.folder.name}>"
