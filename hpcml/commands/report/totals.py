"""The sums of a report: how long, how busy, and where the idle time went."""

from collections import defaultdict

from hpcml.commands.report.model import Report, Task

__all__ = ["add_up", "span"]

SKEW = 1.0  # seconds by which the clocks of two hosts may differ before it is worth a word

Spans = dict[tuple[int, int], tuple[float, float, float]]
"""For a life and a slot: when its first task began, when its last ended, and how long tasks ran."""


def span(report: Report, task: Task) -> tuple[float, float]:
    """Return when a task began and ended, within its life: a clock that is wrong must not spoil the rest."""
    life = report.lives[task.life]
    start = min(max(task.start, life.began), life.ended)
    return start, min(start + task.seconds, life.ended)


def add_up(report: Report) -> None:
    """Fill in all that is summed up from the lives, slots and tasks of a report."""
    for number, life in enumerate(report.lives):
        life.wall = max(life.ended - life.began, 0.0)
        there = [slot for slot in report.slots if number in slot.lives]
        for slot in there:
            slot.seconds += life.wall
        report.wall += life.wall
        report.slot_seconds += life.wall * len(there)
        report.core_hours_allocated += (life.cpus or len(there) * life.cpus_per_slot) * life.wall / 3600
    for task in report.tasks:
        _add_task(report, task)
    for function in report.functions:
        function.mean = function.busy / (function.done + function.failed)
    report.core_hours_used = sum(life.busy * life.cpus_per_slot for life in report.lives) / 3600
    report.idle = _idle(report)
    report.levels = _levels(report)


def _add_task(report: Report, task: Task) -> None:
    life, slot, function = report.lives[task.life], report.slots[task.slot], report.functions[task.function]
    for counted in (report, function):
        counted.done += not task.failed
        counted.failed += task.failed
    slot.tasks += 1
    slot.failed += task.failed
    for busy in (report, life, slot):
        busy.busy += task.seconds
    function.longest = max(function.longest, task.seconds)
    if task.start:
        outside = task.start < life.began - SKEW or task.start + task.seconds > life.ended + SKEW
        report.off_clock += outside


def _idle(report: Report) -> dict[str, float]:
    """Return the slots' idle seconds: before the first task of a slot, between them, after the last."""
    spans: Spans = {}
    for task in report.tasks:
        start, end = span(report, task)
        first, last, busy = spans.get((task.life, task.slot), (start, end, 0.0))
        spans[task.life, task.slot] = min(first, start), max(last, end), busy + end - start
    idle = dict.fromkeys(("before", "between", "after", "unused"), 0.0)
    for number, slot in enumerate(report.slots):
        for life in slot.lives:
            if (life, number) not in spans:
                idle["unused"] += report.lives[life].wall
                continue
            first, last, busy = spans[life, number]
            idle["before"] += first - report.lives[life].began
            idle["between"] += max(last - first - busy, 0.0)
            idle["after"] += report.lives[life].ended - last
    return idle


def _levels(report: Report) -> dict[int, float]:
    """Return for how many seconds so many slots were busy at once."""
    changes: dict[int, list[tuple[float, int]]] = defaultdict(list)
    for task in report.tasks:
        start, end = span(report, task)
        changes[task.life] += [(start, 1), (end, -1)]
    levels: dict[int, float] = defaultdict(float)
    for number, life in enumerate(report.lives):
        most = sum(number in slot.lives for slot in report.slots)
        busy, before = 0, life.began
        for time, change in sorted(changes[number]):
            levels[min(busy, most)] += time - before  # starts are rounded: two tasks of a slot can overlap by 1 ms
            busy, before = busy + change, time
        levels[min(busy, most)] += life.ended - before
    return {level: levels[level] for level in sorted(levels) if levels[level] > 0}
