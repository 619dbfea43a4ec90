"""Arrays of jobs behind `hpcml.map_array`: their submission in parts that Slurm takes, and their end."""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from hpcml.cluster.jobs.array_folder import ArrayFolder, ArrayPlan
from hpcml.cluster.jobs.requests import Request
from hpcml.cluster.jobs.scheduler import Scheduler
from hpcml.data.outcomes import Outcome
from hpcml.errors import JobFailed, SubmissionError
from hpcml.slurm.jobs.queue import Listing
from hpcml.slurm.jobs.reasons import reason_in_words
from hpcml.slurm.jobs.states import FORGOTTEN, Job

__all__ = ["ArraySource", "Submission", "is_limit"]

# Slurm's words for a limit on the number of jobs that a user or an account may have in the queue; the last one is
# said for other limits too.
_LIMITS = "MaxSubmitJob|GrpSubmitJob|MaxJobCount|job submit limit|temporarily unable to accept job"
MAX_SUBMISSIONS = 20  # at once


def is_limit(error: SubmissionError) -> bool:
    """Return whether Slurm has refused a job because too many are in the queue.

    Examples
    --------
    >>> from hpcml.errors import SubmissionError
    >>> is_limit(SubmissionError("Slurm has refused the job: AssocMaxSubmitJobLimit; …"))
    True
    """
    return re.search(_LIMITS, str(error)) is not None


def _ended(jobs: Sequence[Job]) -> int:
    return sum(not job.may_run for job in jobs)


class Submission(NamedTuple):
    """Request for elements of an array, of which `parallel` run at once; None: as many as Slurm can start."""

    request: Request
    parallel: int | None


class ArraySource:
    """The calls of one folder: its arrays, and where the calls stand among those of `hpcml.map_array`.

    Parameters
    ----------
    numbers
        For calls of the folder that are wanted: their numbers in the map.
    submission
        How more elements are submitted; None for an array of an earlier call, which is only waited for.
    """

    def __init__(
        self,
        folder: ArrayFolder,
        plan: ArrayPlan,
        scheduler: Scheduler,
        numbers: Mapping[int, int],
        submission: Submission | None,
    ) -> None:
        self.folder = folder
        self._plan = plan
        self._scheduler = scheduler
        self._numbers = numbers
        self._submission = submission
        self._claims = folder.claims(plan.calls)
        self._made = time.time()
        self._claimed_before = -1  # when elements were submitted last
        self._submitted = 0
        self._is_refused = False  # whether Slurm has taken fewer elements than were submitted last
        for job in folder.ids:
            scheduler.watch(job, folder)

    # -- submission ----------------------------------------------------------------------------------------------
    def submit(self) -> None:
        """Submit the elements, as many as Slurm takes at once; the others follow in `is_over`.

        Raises
        ------
        SubmissionError
            Slurm refuses the array, and not for the number of jobs.
        """
        accepted = self._submit_elements(self._plan.elements)
        if accepted < self._plan.elements:
            self._plan = replace(self._plan, elements=max(accepted, 1))
            self.folder.write_plan(self._plan)

    def _submit_elements(self, wanted: int) -> int:
        """Submit elements in arrays, of half the size where Slurm refuses; return how many Slurm has taken."""
        assert self._submission is not None
        claimed = self._claims.next
        request, parallel = self._submission
        limit = "" if parallel is None else f"%{parallel}"
        accepted, size = 0, self._scheduler.most_elements
        for _ in range(MAX_SUBMISSIONS):
            if accepted == wanted or not size:
                break
            count = min(wanted - accepted, size)
            last = list(self.folder.ids)[-1:] if parallel is not None else []
            following = {"dependency": f"afterany:{last[0]}"} if last and accepted else {}
            try:
                part = replace(request, options={**following, **request.options})
                self._scheduler.submit(part, self.folder, f"0-{count - 1}{limit}", count)
                accepted += count
            except SubmissionError as error:
                if not is_limit(error) or (count == 1 and not accepted and not self._others_wait()):
                    raise
                size = count // 2
        self._is_refused = accepted < wanted
        self._submitted += accepted
        if accepted:
            self._made, self._claimed_before = time.time(), claimed
        return accepted

    def _others_wait(self) -> bool:
        """Return whether jobs of this user are in the queue, after whose end Slurm may take more."""
        return any(job.may_run for job in self._scheduler.read().jobs.values())

    # -- outcomes ------------------------------------------------------------------------------------------------
    def new_outcomes(self) -> Iterator[tuple[int, Outcome]]:
        """Yield numbers and outcomes of wanted calls that have run since this was called last."""
        for place, outcome in self.folder.new_outcomes():
            if place in self._numbers:
                yield self._numbers[place], outcome

    def is_over(self, listing: Listing) -> bool:
        """Return whether no element runs or waits any more; those that Slurm has refused are submitted again."""
        jobs = self._jobs(listing)
        may_run = any(job.may_run for job in jobs)
        if not may_run and self.folder.ids and not jobs and (listing.problem or listing.asked <= self._made):
            return False
        self.folder.refresh("claims")
        self.folder.refresh("outcomes")
        self._claims.read()
        left = self._plan.calls - self._claims.next
        if self._submission is None or not left:
            return not may_run
        if may_run and not (self._is_refused and self._submitted - _ended(jobs) <= self._submitted / 2):
            return False
        # Elements that ended before they claimed a call would do so again.
        if not may_run and self.folder.ids and self._claims.next == self._claimed_before:
            return True
        self._submit_elements(min(self._plan.elements, left))
        return False

    def may_run(self) -> bool:
        """Return whether an element runs or waits."""
        return any(job.may_run for job in self._jobs(self._scheduler.read()))

    def _jobs(self, listing: Listing) -> Sequence[Job]:
        return [job for array in self.folder.ids for job in listing.find(array)]

    def missing(self, place: int, listing: Listing) -> JobFailed:
        """Return the error of a call of this folder that has no outcome, after the end of all elements."""
        claim = next((claim for claim in self._claims.read() if claim.start <= place < claim.stop), None)
        if claim is None:
            states = sorted({job.state for job in self._jobs(listing)} or {FORGOTTEN})
            reasons = {reason_in_words(job) for job in self._jobs(listing)} - {""}
            reason = "no element has run it" + "".join(f"; {one}" for one in sorted(reasons)[:3])
            return JobFailed(f"{'/'.join(states)}: {reason}", states[0], reason)
        job = next((job for job in self._jobs(listing) if claim.owner in (str(job.job_id), job.label)), None)
        state = FORGOTTEN if job is None else job.state
        reason = (reason_in_words(job) if job is not None else "") or "its program has ended before the call"
        return JobFailed(f"job {claim.element}: {state}, {reason}", state, reason)

    @property
    def places(self) -> Mapping[int, int]:
        """Calls of the folder that are wanted, with their numbers in the map."""
        return self._numbers

    def cancel(self) -> None:
        """Cancel all elements. Raises CommandError."""
        jobs = list(self.folder.ids)
        if jobs:
            self._scheduler.cancel(jobs)
