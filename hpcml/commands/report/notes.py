"""Remarks of a report: about the journal itself, and about a run whose tasks had too little of something."""

from hpcml.cluster.notebook.words import count
from hpcml.commands.report.formatting import moment
from hpcml.commands.report.model import Report

__all__ = ["notes"]

MAX_LINES = 20  # of one kind
MUCH_MB, MUCH_OF_TASK_MB = 10.0, 0.2  # that were sent with all tasks, and with each


def notes(report: Report) -> list[str]:
    """Return remarks about the journal itself: damages, sessions without an end, clocks that differ."""
    found = []
    for damage in report.damages[:MAX_LINES]:
        where = f"{damage.nbytes:,} bytes of the journal at offset {damage.offset:,}"
        if damage.tail:
            found.append(f"the last {where} are no whole record: being written just now, or cut off")
        else:
            found.append(f"{where} are damaged: the records there are not in this report")
    if len(report.damages) > MAX_LINES:
        found.append(f"and {len(report.damages) - MAX_LINES:,} more places are damaged")
    if report.goes_on:
        found.append(f"the last session has no end yet; its last record is of {moment(report.sessions[-1].ended)}")
    cut = [str(session.number) for session in report.sessions if session.end_reason in ("requeued", "cut off")]
    if cut:
        sessions = "session " if len(cut) == 1 else "sessions "
        sessions += ", ".join(cut[:MAX_LINES]) + ", …" * (len(cut) > MAX_LINES)
        found.append(f"tasks that were running when {sessions} ended are not recorded: their time counts as idle")
    if report.core_hours_used > report.core_hours_allocated:
        found.append("the slots together had more CPUs than the allocation: tasks have waited for one another")
    found += _sent(report)
    if report.repeated:
        found.append(f"{count(report.repeated, 'task')} ran again though done before: versions had changed")
    if report.off_clock:
        found.append(
            f"the times of {count(report.off_clock, 'task')} are outside their session: clocks of hosts differ"
        )
    return found


def _sent(report: Report) -> list[str]:
    """Return a remark where each task has carried much data; nothing else says why slots were idle."""
    tasks = report.done + report.failed
    megabytes = sum(session.sent_nbytes for session in report.sessions) / 1e6
    if megabytes < MUCH_MB or megabytes < MUCH_OF_TASK_MB * tasks:
        return []
    each = megabytes / max(tasks, 1)
    sent = f"{megabytes:.3g} MB were sent with {count(tasks, 'task')}, {each:.2g} MB with each"
    return [f"{sent}: Cluster.broadcast sends data that tasks share to each node once"]
