"""Jobs of this user. All who look share one question to Slurm a minute, and the file that has its answer.

::

    hpcml jobs ─┐                                    ┌─ younger than a minute ─> the recorded answer
    hpcml wait ─┼─> flock ─> queue-<cluster>.json ───┤
    notebooks  ─┘                                    └─ older ─> squeue --me, recorded for all
"""

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from hpcml.errors import CommandError
from hpcml.slurm.commands import accounting_query, own_jobs_query, submission_environment
from hpcml.slurm.hostlist import expand
from hpcml.slurm.jobs.site import read_site
from hpcml.slurm.jobs.states import FORGOTTEN, Job, job_fields, parse_accounting, parse_jobs
from hpcml.slurm.node_wait import late_nodes
from hpcml.slurm.process import run

__all__ = ["JobQueue", "Listing"]

QUERY_TIMEOUT_SECONDS = 30.0
ACCOUNTING_TIMEOUT_SECONDS = 10.0  # sacct waits long for a database that is not there
KEPT_SECONDS = 7 * 86_400.0  # that a job is kept in the file after its end


@dataclass(frozen=True)
class Listing:
    """Jobs of this user, by number, as Slurm had them at ``asked``, in seconds since the epoch (0: never).

    ``problem`` says why Slurm did not answer the last time, or is "".
    """

    jobs: Mapping[int, Job] = field(default_factory=dict)
    asked: float = 0.0
    seen: Mapping[int, float] = field(default_factory=dict)
    problem: str = ""

    def find(self, label: str) -> list[Job]:
        """Return the jobs that a user names: one job, or all known tasks of an array or components of a job."""
        exact = [job for job in self.jobs.values() if label in (job.label, str(job.job_id))]
        tasks = [job for job in self.jobs.values() if re.split("[_+]", job.label)[0] == label]
        return tasks or exact


class JobQueue:
    """The jobs of this user, asked for at most once in `query_seconds` by all processes of the user together.

    Parameters
    ----------
    environment
        Environment variables, which name Slurm's cluster and the user's cache.
    query_seconds
        Shortest time between two questions.
    """

    def __init__(self, environment: Mapping[str, str], query_seconds: float) -> None:
        self._environment = submission_environment(environment)
        self._query_seconds = query_seconds
        cluster = "|".join(environment.get(name, "") for name in ("SLURM_CONF", "SLURM_CLUSTERS"))
        name = f"queue-{hashlib.sha256(cluster.encode()).hexdigest()[:12]}.json"
        home = Path(environment.get("HOME") or "~").expanduser()
        self._path = Path(environment.get("XDG_CACHE_HOME") or home / ".cache") / "hpcml" / name
        self._listing = Listing()  # where the cache cannot be written

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self:
        """Return the queue of the cluster that `environment` names, asked as often as the site allows."""
        return cls(environment, read_site(environment).query_seconds)

    def read(self) -> Listing:
        """Return the jobs, after a question to Slurm where the recorded answer is old."""
        with self._locked():
            listing = self._load()
            if 0 <= time.time() - listing.asked < self._query_seconds:
                return listing
            listing = self._ask(listing)
            self._save(listing)
            return listing

    def late_nodes(self, job: Job) -> str:
        """Return which nodes of a job are not ready and why, in words; "" for none. Slurm is asked each time."""
        return late_nodes(expand(job.nodelist), self._environment) if job.nodelist else ""

    def seconds_to_next(self, listing: Listing) -> float:
        """Return how long `read` will return this listing again."""
        return max(listing.asked + self._query_seconds - time.time(), 0.05)

    def note(self, jobs: Iterable[Job]) -> None:
        """Record jobs that this process has just submitted or changed, until Slurm is asked again."""
        with self._locked():
            listing = self._load()
            now = time.time()
            new = {job.job_id: job for job in jobs}
            self._save(
                replace(listing, jobs={**listing.jobs, **new}, seen={**listing.seen, **dict.fromkeys(new, now)})
            )

    def _ask(self, before: Listing) -> Listing:
        now = time.time()
        try:
            answer = run(own_jobs_query(job_fields()), self._environment, QUERY_TIMEOUT_SECONDS)
        except CommandError as error:
            return replace(before, asked=now, problem=str(error))
        found = {job.job_id: job for job in parse_jobs(answer)}
        lost = [job for number, job in before.jobs.items() if number not in found and job.may_run]
        ended = {job.job_id: job for job in self._account_for(lost)}
        jobs = {**before.jobs, **found, **ended}
        seen = {**before.seen, **dict.fromkeys((*found, *ended), now)}
        kept = {number for number in jobs if now - seen.get(number, now) < KEPT_SECONDS}
        return Listing({n: jobs[n] for n in jobs if n in kept}, now, {n: seen[n] for n in jobs if n in kept})

    def _account_for(self, lost: list[Job]) -> list[Job]:
        """Return jobs that squeue no longer shows, with their end where the site's accounting knows it."""
        ends: Mapping[str, tuple[str, tuple[int, int]]] = {}
        if lost:
            with contextlib.suppress(CommandError):  # most sites without accounting have no sacct that answers
                labels = [job.label for job in lost]
                ends = parse_accounting(
                    run(accounting_query(labels), self._environment, ACCOUNTING_TIMEOUT_SECONDS)
                )
        return [
            replace(job, state=ends[job.label][0], exit_code=ends[job.label][1], reason="")
            if job.label in ends
            else replace(job, state=FORGOTTEN, reason="")
            for job in lost
        ]

    # -- the file ------------------------------------------------------------------------------------------------
    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Exclude other processes; where the cache cannot be written, each process asks for itself."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = open(os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600), "rb")  # noqa: SIM115
        except OSError:
            yield
            return
        with lock:
            # The holder asks Slurm, for QUERY_TIMEOUT_SECONDS at most.
            with contextlib.suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _load(self) -> Listing:
        try:
            content = json.loads(self._path.read_text())
            return Listing(
                {int(number): _job_from(fields) for number, fields in content["jobs"].items()},
                content["asked"],
                {int(number): seen for number, seen in content["seen"].items()},
                content["problem"],
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):  # none, or of another version
            return self._listing

    def _save(self, listing: Listing) -> None:
        self._listing = listing
        temporary = self._path.with_suffix(f".{os.uname().nodename}-{os.getpid()}")
        try:
            with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                json.dump(dataclasses.asdict(listing), file)
            os.replace(temporary, self._path)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()


def _job_from(fields: dict[str, Any]) -> Job:
    return Job(**{**fields, "exit_code": tuple(fields["exit_code"])})
