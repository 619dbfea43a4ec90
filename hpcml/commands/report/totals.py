"""The sums of a report: how long, how busy, and where the idle time went."""

from collections import defaultdict

from hpcml.commands.report.model import Report, Task

__all__ = ["add_up", "span"]

SKEW = 1.0  # seconds by which the clocks of two hosts may differ before it is worth a word

Spans = dict[tuple[int, int], tuple[float, float, float]]
"""For a session and a slot: when its first task began, when its last ended, and how long tasks ran."""


def span(report: Report, task: Task) -> tuple[float, float]:
    """Return when a task began and ended, within its session: a clock that is wrong must not spoil the rest."""
    session = report.sessions[task.session]
    start = min(max(task.start, session.began), session.ended)
    return start, min(start + task.seconds, session.ended)


def add_up(report: Report) -> None:
    """Fill in all that is summed up from the sessions, slots and tasks of a report."""
    for number, session in enumerate(report.sessions):
        session.wall = max(session.ended - session.began, 0.0)
        there = [slot for slot in report.slots if number in slot.sessions]
        for slot in there:
            slot.seconds += session.wall
        report.wall += session.wall
        report.slot_seconds += session.wall * len(there)
        report.core_hours_allocated += (session.cpus or len(there) * session.cpus_per_slot) * session.wall / 3600
    for task in report.tasks:
        _add_task(report, task)
    for function in report.functions:
        function.mean = function.busy / (function.done + function.failed)
    report.core_hours_used = sum(session.busy * session.cpus_per_slot for session in report.sessions) / 3600
    report.idle = _idle(report)
    report.levels = _levels(report)


def _add_task(report: Report, task: Task) -> None:
    session, slot = report.sessions[task.session], report.slots[task.slot]
    function = report.functions[task.function]
    for counted in (report, function):
        counted.done += not task.failed
        counted.failed += task.failed
    slot.tasks += 1
    slot.failed += task.failed
    for busy in (report, session, slot):
        busy.busy += task.seconds
    function.longest = max(function.longest, task.seconds)
    if task.start:
        outside = task.start < session.began - SKEW or task.start + task.seconds > session.ended + SKEW
        report.off_clock += outside


def _idle(report: Report) -> dict[str, float]:
    """Return the slots' idle seconds: before the first task of a slot, between them, after the last."""
    spans: Spans = {}
    for task in report.tasks:
        start, end = span(report, task)
        first, last, busy = spans.get((task.session, task.slot), (start, end, 0.0))
        spans[task.session, task.slot] = min(first, start), max(last, end), busy + end - start
    idle = dict.fromkeys(("before", "between", "after", "unused"), 0.0)
    for number, slot in enumerate(report.slots):
        for session in slot.sessions:
            if (session, number) not in spans:
                idle["unused"] += report.sessions[session].wall
                continue
            first, last, busy = spans[session, number]
            idle["before"] += first - report.sessions[session].began
            idle["between"] += max(last - first - busy, 0.0)
            idle["after"] += report.sessions[session].ended - last
    return idle


def _levels(report: Report) -> dict[int, float]:
    """Return for how many seconds so many slots were busy at once."""
    changes: dict[int, list[tuple[float, int]]] = defaultdict(list)
    for task in report.tasks:
        start, end = span(report, task)
        changes[task.session] += [(start, 1), (end, -1)]
    levels: dict[int, float] = defaultdict(float)
    for number, session in enumerate(report.sessions):
        most = sum(number in slot.sessions for slot in report.slots)
        busy, before = 0, session.began
        for time, change in sorted(changes[number]):
            levels[min(busy, most)] += time - before  # starts are rounded: two tasks of a slot can overlap by 1 ms
            busy, before = busy + change, time
        levels[min(busy, most)] += session.ended - before
    return {level: levels[level] for level in sorted(levels) if levels[level] > 0}
