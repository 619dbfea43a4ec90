"""`hpcml.map_array`: calls of one function, shared by the elements of a job array."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from hpcml.cluster.jobs.array_folder import ArrayFolder, ArrayPlan
from hpcml.cluster.jobs.array_results import ArrayResults
from hpcml.cluster.jobs.array_source import ArraySource, Submission
from hpcml.cluster.jobs.folder import data_directory, folder_label, jobs_directory, new_folder
from hpcml.cluster.jobs.packing import PackedCalls, pack_calls, script_state
from hpcml.cluster.jobs.requests import make_request, repeatable
from hpcml.cluster.jobs.scheduler import Scheduler, current_scheduler, withdraw
from hpcml.data.envelope import name_of
from hpcml.errors import HpcmlError
from hpcml.journal.runs import versions
from hpcml.slurm.jobs.site import read_site

__all__ = ["map_array"]

MOST_ELEMENTS = 1000  # that wait at once, where their number is not given
MAX_LOOKED_AT = 100  # arrays of the same function, for calls that are resumed


def map_array(
    fn: Callable[..., Any],
    /,
    *iterables: Iterable[Any],
    parallel: int | None = None,
    minutes_per_element: float = 10.0,
    calls_per_element: int | None = None,
    resume: bool = False,
    **options: Any,
) -> ArrayResults:
    """Run ``fn`` on each tuple of arguments in a Slurm job array; return an iterator over the results, in order.

    Each element of the array takes calls, a few at a time, until it has run for about ten minutes or none is left;
    elements that are not needed are cancelled. Function and data are written once for all. Without Slurm, as many
    processes as this computer has CPUs run the calls.

    The iterator has the numbers of the job arrays, ``ids``; the number of calls that have ended, ``done``; and
    ``cancel()``. It raises ArrayFailed where a call has failed, after the end of all others.

    Parameters
    ----------
    fn, iterables
        As for `map`, which see; the calls end with the shortest of the iterables.
    parallel
        The most elements that run at once.
    minutes_per_element
        An element takes no more calls after so many minutes.
    calls_per_element
        The most calls of one element, whatever their time.
    resume
        Run only the calls that have no result in an earlier array of this function, submitted from this directory,
        and wait for those that still run. A call is the same if function, arguments, data and code are the same.
    **options
        Options of sbatch for each element, with underscores: ``time="0:30:00", cpus_per_task=2, mem="4G"``.

    Raises
    ------
    TaskError
        `fn` or an argument cannot be pickled; the message names the object.
    SubmissionError
        Slurm refuses the array, or no node can run an element; the message has the reason.
    HpcmlError
        There is no such option, or it has a value that it cannot have.

    Examples
    --------
    >>> import hpcml
    >>> list(hpcml.map_array(pow, [], []))
    []
    """
    _check(fn, parallel, minutes_per_element, calls_per_element)
    calls = list(zip(*iterables, strict=False))
    scheduler = current_scheduler()
    name = name_of(fn)
    if not calls:
        return ArrayResults(name, 0, {}, [], scheduler)
    given = {"job_name": folder_label(name), **options}
    site = read_site(scheduler.environment)
    request = repeatable(make_request(given, site, scheduler.known_options, "hpcml.map_array"))
    jobs = jobs_directory(Path.cwd())
    folder = ArrayFolder(new_folder(jobs, name).path)
    try:
        packed = pack_calls(fn, calls, data_directory(jobs), script_state(scheduler.environment))
        known, sources = _earlier(jobs, packed, scheduler) if resume else ({}, [])
        taken = known.keys() | {number for source in sources for number in source.places.values()}
        left = [number for number in range(len(calls)) if number not in taken]
        if left:
            elements = _elements(len(left), calls_per_element, scheduler)
            plan = ArrayPlan(name, len(left), elements, minutes_per_element, calls_per_element, request.minutes)
            folder.write_calls(plan, packed.only(left))
            source = ArraySource(folder, plan, scheduler, dict(enumerate(left)), Submission(request, parallel))
            source.submit()
            sources.append(source)
    except BaseException:
        withdraw(folder, scheduler)
        raise
    if not left:
        folder.remove()
    return ArrayResults(name, len(calls), known, sources, scheduler)


def _check(fn: object, parallel: int | None, minutes: float, calls: int | None) -> None:
    if not callable(fn):
        raise HpcmlError(f"hpcml.map_array({fn!r}, …): the first argument is the function, and {fn!r} is none")
    for name, value in (("parallel", parallel), ("calls_per_element", calls)):
        if value is not None and (not isinstance(value, int) or value < 1):
            raise HpcmlError(f"hpcml.map_array({name}={value!r}): it must be a whole number, 1 or more")
    if not minutes > 0:
        raise HpcmlError(f"hpcml.map_array(minutes_per_element={minutes!r}): it must be above 0")


def _elements(calls: int, calls_per_element: int | None, scheduler: Scheduler) -> int:
    if calls_per_element is None:
        return min(calls, MOST_ELEMENTS, scheduler.most_elements)
    return -(-calls // calls_per_element)


def _earlier(jobs: Path, packed: PackedCalls, scheduler: Scheduler) -> tuple[dict[int, Any], list[ArraySource]]:
    """Return results of earlier arrays of the same calls, and the arrays that still run others of them."""
    wanted = {key: number for number, key in enumerate(packed.keys) if key}
    known: dict[int, Any] = {}
    sources = []
    found = sorted(jobs.glob(f"*-{folder_label(packed.name)}-*/plan"), reverse=True)[:MAX_LOOKED_AT]
    for path in (note.parent for note in found):
        folder = ArrayFolder(path)
        plan = folder.plan()
        if plan is None or plan.name != packed.name or plan.versions != versions():
            continue
        places = {place: wanted[key] for place, key in enumerate(folder.keys()) if key in wanted}
        ended = {place: outcome for place, outcome in folder.new_outcomes() if place in places}
        known |= {places[place]: outcome.value for place, outcome in ended.items() if outcome.error is None}
        waiting = {place: number for place, number in places.items() if place not in ended}
        source = ArraySource(ArrayFolder(path), plan, scheduler, waiting, None)
        taken = {number for place, number in places.items() if number in known}
        if waiting and source.may_run():
            sources.append(source)
            taken |= set(waiting.values())
        wanted = {key: number for key, number in wanted.items() if number not in taken}
    return known, sources
