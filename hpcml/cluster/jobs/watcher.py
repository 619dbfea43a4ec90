"""Thread that looks for the outcomes of jobs, and asks Slurm, rarely, for jobs that have ended without one.

::

    Job, ArrayResults ── watch ──> watcher thread ──┬─ every second: files in the folders of the jobs
    result(), callbacks <── future <────────────────┴─ once a minute: the listing of all jobs, one squeue for all
"""

import itertools
import logging
import os
import threading
import time
from collections.abc import Mapping
from typing import Protocol

from hpcml.cluster.jobs.scheduler import Scheduler
from hpcml.slurm.jobs.queue import Listing

__all__ = ["Watched", "watch"]

log = logging.getLogger("hpcml")

SHORTEST_PAUSE_SECONDS = 0.05  # between two looks at files, when a job is new
LONGEST_PAUSE_SECONDS = 1.0
PAUSE_SHARE = 0.02  # of the time that is watched already
AGAIN_SECONDS = 60.0  # after which a scheduler is asked again that has failed


class Watched(Protocol):
    """A job, or jobs, that is watched until its end."""

    _scheduler: Scheduler

    def _look(self, listing: Listing | None) -> bool:
        """Look for outcomes; return whether there is nothing more to wait for.

        Parameters
        ----------
        listing
            All jobs, where these were just asked for.
        """

    def _refresh(self) -> None:
        """Have this computer see what other nodes have written; see `JobFolder.refresh`."""


class _Watcher:
    """The thread of this process; it ends with the last job that is watched."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # protects all that follows
        self._watched: list[Watched] = []
        self._thread: threading.Thread | None = None
        self._began = 0.0
        self.process = os.getpid()

    def watch(self, jobs: Watched) -> None:
        """Watch jobs until their end."""
        with self._lock:
            self._began = time.monotonic()
            self._watched.append(jobs)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="hpcml-jobs", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        until: dict[type, float] = {}  # that the last answer of a scheduler holds
        refreshed, turns = time.monotonic(), itertools.count()
        while True:
            with self._lock:
                if not self._watched:
                    self._thread = None
                    return
                watched = list(self._watched)
            listings = _read_schedulers({type(one._scheduler): one._scheduler for one in watched}, until)
            if time.monotonic() - refreshed > LONGEST_PAUSE_SECONDS:
                refreshed = time.monotonic()
                watched[next(turns) % len(watched)]._refresh()  # one at a time, however many are watched
            for jobs in watched:
                if _try_look(jobs, listings.get(type(jobs._scheduler))):
                    with self._lock:
                        self._watched.remove(jobs)
            seen = time.monotonic() - self._began
            time.sleep(min(max(seen * PAUSE_SHARE, SHORTEST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS))


def _read_schedulers(schedulers: Mapping[type, Scheduler], until: dict[type, float]) -> dict[type, Listing]:
    """Return the listings of those schedulers whose last answer is old."""
    listings = {}
    for kind, scheduler in schedulers.items():
        if time.monotonic() < until.get(kind, 0.0):
            continue
        try:
            listing = listings[kind] = scheduler.read()
            until[kind] = time.monotonic() + scheduler.seconds_to_next(listing)
        except Exception as error:
            until[kind] = time.monotonic() + AGAIN_SECONDS
            log.warning("jobs cannot be listed, and are again later: %s", error)
    return listings


def _try_look(jobs: Watched, listing: Listing | None) -> bool:
    try:
        return jobs._look(listing)
    except Exception as error:  # the file system does not answer
        log.warning("a job cannot be looked for, and is again later: %s", error)
        return False


_watcher = _Watcher()


def watch(jobs: Watched) -> None:
    """Watch jobs until their end, in a thread of this process; see `Watched`."""
    global _watcher  # noqa: PLW0603  one thread in a process
    if _watcher.process != os.getpid():  # the thread is in the process that forked this one
        _watcher = _Watcher()
    _watcher.watch(jobs)
