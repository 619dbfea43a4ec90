"""Element of an array of jobs: claims calls, runs them, and writes their outcomes, for about ten minutes."""

import contextlib
import shutil
import sys
import time
from collections.abc import Iterable, Mapping

from hpcml.cluster.jobs.array_folder import ArrayFolder, ArrayPlan
from hpcml.cluster.jobs.claims import Claim, Claims
from hpcml.data.envelope import Call, pack_frame
from hpcml.engines.worker import run_frame
from hpcml.errors import CommandError, HpcmlError
from hpcml.slurm.commands import cancel_pending, submission_environment
from hpcml.slurm.process import run

__all__ = ["Pace", "run_element", "to_ranges"]

CLAIM_SECONDS = 2.0  # of work in one claim: its outcomes are written together, and lost together
MAX_GROWTH = 8  # of a claim, in calls, over the one before: the first calls may be the short ones
END_SECONDS = 10.0  # of an element's time that are kept for its end


class Pace:
    """Number of calls that an element claims next, by the time that its calls have taken.

    Parameters
    ----------
    now
        Seconds on the monotonic clock at which the element has started.

    Examples
    --------
    >>> from hpcml.cluster.jobs.array_folder import ArrayPlan
    >>> pace = Pace(ArrayPlan("f", 1000, 4, minutes=10), 0.0)
    >>> pace.next(1000, 3, 0.0)
    1
    >>> pace.note(1, seconds=0.1)
    >>> pace.next(999, 3, 0.1)
    8
    """

    def __init__(self, plan: ArrayPlan, now: float) -> None:
        self._plan = plan
        self._began = now
        self._last = 0
        self._done = 0
        self._mean = 0.0  # seconds of one call, in the last claim
        self._longest = 0.0

    def note(self, calls: int, seconds: float) -> None:
        """Take the time that the calls of a claim have taken."""
        self._last = calls
        self._done += calls
        self._mean = seconds / calls
        self._longest = max(self._longest, self._mean)

    def next(self, left: int, others: int, now: float) -> int:
        """Return the number of the `left` calls to claim; `others` is the number of other elements."""
        plan, elapsed = self._plan, now - self._began
        quota = plan.calls_per_element
        if quota is not None and self._done >= quota:
            return 0
        if quota is None and self._done >= plan.least and elapsed >= plan.minutes * 60:
            return 0
        by_time = int(CLAIM_SECONDS / self._mean) if self._mean else self._last * MAX_GROWTH or 1
        count = min(by_time, self._last * MAX_GROWTH or 1, -(-left // (2 * (others + 1))))
        if quota is not None:
            count = min(count, quota - self._done)
        if plan.time_limit is not None and self._done:
            seconds = plan.time_limit * 60 - END_SECONDS - elapsed
            if seconds < self._longest:
                return 0
            count = min(count, int(seconds / self._longest) if self._longest else count)
        return max(count, 1)


def run_element(folder: ArrayFolder, job: str, element: str, environment: Mapping[str, str]) -> None:
    """Run calls of the array in `folder` until none is left or the time is over.

    Parameters
    ----------
    job
        Number of this job, which a requeue keeps.
    element
        Its label, ``<array>_<index>``.
    """
    plan = folder.plan()
    if plan is None:
        raise HpcmlError(f"{folder.path} has no calls of this version of hpcml: submit them again")
    claims = folder.claims(plan.calls)
    calls = _Calls(folder)
    for claim in list(claims.read()):
        if claim.owner == job and not folder.has_outcomes(claim):  # this job was requeued
            calls.run(claim)
    pace = Pace(plan, time.monotonic())
    while True:
        owners = {claim.owner for claim in claims.read()}
        count = pace.next(plan.calls - claims.next, len(owners - {job}), time.monotonic())
        claimed = claims.take(count, job, element) if count else None
        if claimed is None:
            return
        if claimed.stop == plan.calls:
            _cancel_others(folder, claims, environment)
        began = time.monotonic()
        calls.run(claimed)
        pace.note(claimed.stop - claimed.start, time.monotonic() - began)


class _Calls:
    """The calls of an array, as an element runs them: each as a worker of a Cluster runs a task."""

    def __init__(self, folder: ArrayFolder) -> None:
        self._folder = folder
        self._function, self._state = folder.function()

    def run(self, claim: Claim) -> None:
        """Run the calls of a claim, and write their outcomes."""
        arguments = self._folder.arguments(claim.start, claim.stop)
        calls = [Call(self._function, one, "", "") for one in arguments]
        self._folder.write_outcomes(claim, run_frame(pack_frame(calls, sys.maxsize, self._state)))


def _cancel_others(folder: ArrayFolder, claims: Claims, environment: Mapping[str, str]) -> None:
    """Cancel the elements that have not started: no call is left for them."""
    started = {claim.element for claim in claims.read()}
    waiting = [
        f"{array}_[{ranges}]"
        for array, count in folder.ids.items()
        if (ranges := to_ranges(number for number in range(count) if f"{array}_{number}" not in started))
    ]
    if waiting and shutil.which("scancel", path=environment.get("PATH")):
        with contextlib.suppress(CommandError):  # they find nothing to do, and end
            run(cancel_pending(waiting), submission_environment(environment))


def to_ranges(numbers: Iterable[int]) -> str:
    """Return numbers as Slurm's commands take them.

    Examples
    --------
    >>> from hpcml.cluster.jobs.element import to_ranges
    >>> to_ranges([0, 1, 2, 5, 7, 8])
    '0-2,5,7-8'
    """
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in found)
