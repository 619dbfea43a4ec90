"""Advice for the next request to Slurm, with reasons."""

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from hpcml.cluster.notebook.words import count
from hpcml.commands.report.formatting import duration, memory, slurm_time
from hpcml.commands.report.model import Report

__all__ = ["Advice", "advise", "enough_slots", "wall_with"]

# Fewer slots are advised if the run is at most this much longer, and saves at least this part of the core-hours.
MAX_SLOWDOWN = 1.1
MIN_SAVING = 0.15
WELL_USED = 0.85  # part of the time; slots that are busy for less do not call for more of them
MEMORY_FACTOR = 1.2  # the next data are never quite the same
TIME_FACTOR = 1.25
START_SECONDS = 120  # for times that are not in the journal: the start of Python, the loading of data


class Advice(NamedTuple):
    """An option of sbatch, and the reason for its value."""

    option: str
    reason: str


def wall_with(slots: int, levels: Mapping[int, float]) -> float:
    """Return the seconds that a run would have taken with fewer slots.

    A moment with more busy slots than that would have lasted longer in proportion, other moments as long as they
    did. So tasks that wait for one another, and the tail of a search, take the time that they took.

    Parameters
    ----------
    levels
        Number of slots that were busy at once: seconds.

    Examples
    --------
    >>> from hpcml.commands.report.advice import wall_with
    >>> wall_with(6, {12: 10.0, 1: 5.0})
    25.0
    """
    return sum(seconds * max(1.0, busy / slots) for busy, seconds in levels.items())


def enough_slots(levels: Mapping[int, float]) -> int:
    """Return the fewest slots that would have made a run less than a tenth longer.

    Examples
    --------
    >>> from hpcml.commands.report.advice import enough_slots
    >>> enough_slots({12: 10.0}), enough_slots({12: 1.0, 4: 20.0})
    (11, 4)
    """
    limit = MAX_SLOWDOWN * sum(levels.values())
    most = max(levels, default=1)
    return 1 + bisect_left(range(1, max(most, 1)), True, key=lambda slots: wall_with(slots, levels) <= limit)


def advise(report: Report) -> list[Advice]:
    """Return options of sbatch for a repetition of this run; none where no task has run.

    Examples
    --------
    >>> from hpcml.commands.report.advice import advise
    >>> from hpcml.commands.report.model import Report
    >>> advise(Report("run"))
    []
    """
    if not (report.busy and report.wall):
        return []
    slots = enough_slots(report.levels)
    if _saved(report, slots) < MIN_SAVING:
        slots = report.most_slots
    return [_slots(report, slots), *_memory(report), _time(report, slots)]


def _saved(report: Report, slots: int) -> float:
    """Return the part of the core-hours that `slots` slots would have saved."""
    return 1 - wall_with(slots, report.levels) * slots / (report.wall * report.most_slots)


def _slots(report: Report, slots: int) -> Advice:
    most = report.most_slots
    cpus = report.sessions[-1].cpus_per_slot
    option = f"--ntasks={slots}" + f" --cpus-per-task={cpus}" * (cpus > 1)
    mean = sum(busy * seconds for busy, seconds in report.levels.items()) / report.wall
    seen = f"{mean:.1f} of {count(most, 'slot')} were busy on average"
    if slots < most:
        longer = 100 * (wall_with(slots, report.levels) / report.wall - 1)
        more = f"{longer:.0f} % more time" if longer >= 0.5 else "no more time"
        saved = 100 * _saved(report, slots)
        return Advice(option, f"{seen}; {slots} would have taken {more} and {saved:.0f} % less core-hours")
    if mean < WELL_USED * most:
        return Advice(option, f"{seen}; fewer would have taken more time and saved little")
    longest = max(function.longest for function in report.functions)
    useful = int(report.busy / longest)
    if useful <= most:
        return Advice(option, f"{seen}; more would not help: the longest task takes {duration(longest)}")
    limit = f"up to {useful}: then the longest task, {duration(longest)}, sets the time"
    return Advice(option, f"{seen}; more could help" + f", {limit}" * (useful < 4 * most))


def _memory(report: Report) -> list[Advice]:
    """Return the memory to ask for, from the workers' peaks; nothing where these are not recorded."""
    together: Counter[str] = Counter()
    for slot in report.slots:
        together[slot.host] += slot.peak
    host, peak = max(together.items(), key=lambda item: item[1])
    if not peak:
        return []
    on_host = [slot for slot in report.slots if slot.host == host]
    cpus = len(on_host) * report.sessions[-1].cpus_per_slot
    granted = max((session.memory.get(host, 0) for session in report.sessions), default=0)
    of = f" of {memory(granted)} granted" if granted else ""
    reason = f"per node: {count(len(on_host), 'worker')} on {host} peaked at {memory(peak)}{of}, and a fifth more"
    reason += f"; per CPU: --mem-per-cpu={_up(MEMORY_FACTOR * peak / cpus, 50)}M"
    if any("SIGKILL" in death.cause or "memory" in death.cause for death in report.deaths):
        reason += ". A worker was killed: if that was for want of memory, ask for more"
    return [Advice(f"--mem={_up(MEMORY_FACTOR * peak, 100)}M", reason)]


def _time(report: Report, slots: int) -> Advice:
    wall = wall_with(slots, report.levels)
    seconds = TIME_FACTOR * wall + START_SECONDS
    step = next((step for most, step in ((600, 60), (3600, 300), (6 * 3600, 900)) if seconds <= most), 3600)
    tasks = "these tasks so far" if report.sessions[-1].end_reason == "no end yet" else "these tasks"
    reason = f"{duration(wall)} for {tasks} on {count(slots, 'slot')}, a quarter more"
    reason += f", and {START_SECONDS // 60} min to start"
    return Advice(f"--time={slurm_time(_up(seconds, step))}", reason)


def _up(number: float, step: int) -> int:
    return math.ceil(number / step) * step
