"""Totals of a report: wall time, busy time, idle time by its cause, and core-hours."""

from collections import defaultdict

from hpcml.commands.report.model import Report, Task

__all__ = ["add_up", "span"]

SKEW_SECONDS = 1.0  # that the clocks of two hosts may differ, without a note in the report

Spans = dict[tuple[int, int], tuple[float, float, float]]
"""(session, slot): start of the first task, end of the last, and busy seconds."""


def span(report: Report, task: Task) -> tuple[float, float]:
    """Return the start and the end of a task, cut to its session: a wrong clock must not spoil other numbers."""
    session = report.sessions[task.session]
    start = min(max(task.start, session.began), session.ended)
    return start, min(start + task.seconds, session.ended)


def add_up(report: Report) -> None:
    """Set the totals of a report, and of its sessions, slots and functions."""
    for number, session in enumerate(report.sessions):
        session.wall = max(session.ended - session.began, 0.0)
        present = [slot for slot in report.slots if number in slot.sessions]
        for slot in present:
            slot.seconds += session.wall
        report.wall += session.wall
        report.slot_seconds += session.wall * len(present)
        report.core_hours_allocated += (session.cpus or len(present) * session.cpus_per_slot) * session.wall / 3600
    for task in report.tasks:
        _add_task(report, task)
    for function in report.functions:
        function.mean = function.busy / (function.done + function.failed)
    report.core_hours_used = sum(session.busy * session.cpus_per_slot for session in report.sessions) / 3600
    report.idle = _idle(report)
    report.levels = _levels(report)


def _add_task(report: Report, task: Task) -> None:
    session = report.sessions[task.session]
    slot = report.slots[task.slot]
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
        end = task.start + task.seconds
        report.off_clock += task.start < session.began - SKEW_SECONDS or end > session.ended + SKEW_SECONDS


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
    """Return number of slots that were busy at once: seconds."""
    changes: dict[int, list[tuple[float, int]]] = defaultdict(list)
    for task in report.tasks:
        start, end = span(report, task)
        changes[task.session] += [(start, 1), (end, -1)]
    levels: dict[int, float] = defaultdict(float)
    for number, session in enumerate(report.sessions):
        most = sum(number in slot.sessions for slot in report.slots)
        busy = 0
        since = session.began
        for time, change in sorted(changes[number]):
            # Starts are rounded: two tasks of a slot can overlap by 1 ms.
            levels[min(busy, most)] += time - since
            busy += change
            since = time
        levels[min(busy, most)] += session.ended - since
    return {level: levels[level] for level in sorted(levels) if levels[level] > 0}
