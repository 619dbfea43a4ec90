"""Report for a terminal or a log, at most 100 columns wide."""

import textwrap
from collections.abc import Iterable, Sequence

from hpcml.cluster.notebook.words import count
from hpcml.commands.report.advice import advise
from hpcml.commands.report.formatting import clock, duration, memory, moment, short_name
from hpcml.commands.report.model import Death, Function, Report
from hpcml.commands.report.notes import notes
from hpcml.commands.report.timeline import Cell, histogram, make_grid, make_rows, session_offsets

__all__ = ["FUNCTION_HEADERS", "function_cells", "headline", "idle_line", "lost_tasks", "render_text"]

BLOCKS = "▁▂▃▄▅▆▇█"
PLAIN = str.maketrans({**dict(zip(BLOCKS, ".:-=+*%#", strict=True)), "·": " ", "…": "~", "µ": "u", "│": "|"})
FUNCTION_HEADERS = ("done", "failed", "mean", "longest", "of busy time")
MAX_LINES = 20  # of one kind
MAX_ROWS = 48  # of the timeline


def render_text(report: Report, width: int = 100, encoding: str = "utf-8") -> str:
    """Return the report as lines of at most `width` characters, which `encoding` can write.

    Examples
    --------
    >>> from hpcml.commands.report.model import Death, Function, Report
    >>> from hpcml.commands.report.text import render_text
    >>> print(render_text(Report("the run")))
    the run: no task has ended yet
    """
    width = min(max(width, 80), 100)
    parts = [_opening(report, width), _sessions(report), _functions(report), _failures(report, width)]
    parts += [_deaths(report, width), _timeline(report, width), _advice(report, width), _notes(report, width)]
    text = "\n\n".join(part for part in parts if part)
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(PLAIN).encode(encoding, "backslashreplace").decode(encoding)
    return text


def headline(report: Report) -> str:
    """Return one line with the numbers of tasks that are done and failed, of dead workers and of sessions."""
    if not report.tasks and not report.deaths:
        return "no task has ended yet"
    of_all = f" of {report.expected:,}" if report.expected > report.done else ""
    parts = [f"{count(report.done, 'task')} done{of_all}"]
    if report.failed:
        parts.append(
            f"{report.failed:,} failed" + f" ({report.done_later:,} done later)" * bool(report.done_later)
        )
    if report.deaths:
        parts.append(f"{count(len(report.deaths), 'worker')} died")
    if len(report.sessions) > 1:
        parts.append(count(len(report.sessions), "session"))
    return ", ".join(parts)


def idle_line(report: Report) -> str:
    """Return one line with the parts of the slots' time that were idle, by their cause."""
    causes = {
        "before": "before the first task of a slot",
        "between": "between its tasks",
        "after": "after its last",
        "unused": "in slots without a task",
    }
    parts = [(report.idle[key] / report.slot_seconds, text) for key, text in causes.items()]
    return ", ".join(f"{100 * share:.0f} % {text}" for share, text in parts if share >= 0.005)


def function_cells(report: Report, function: Function) -> list[str]:
    """Return the row of a function, under `FUNCTION_HEADERS`."""
    times = [duration(function.mean), duration(function.longest)]
    share = function.busy / (report.busy or 1)
    return [f"{function.done:,}", f"{function.failed:,}", *times, f"{100 * share:.0f} %"]


def lost_tasks(death: Death) -> str:
    """Return the tasks of a dead worker, by function."""
    tasks = [f"{number} of " * (number > 1) + short_name(name) for name, number in death.tasks.items()]
    return ", ".join(tasks[:3]) + ", …" * (len(tasks) > 3) or "no task"


def _opening(report: Report, width: int) -> str:
    lines = [f"{report.run}: {headline(report)}"]
    if report.slot_seconds:
        hosts = report.hosts
        used = f"{report.core_hours_used:.3g} of {report.core_hours_allocated:.3g} core-hours used"
        names = ", ".join(hosts) if len(hosts) <= 4 else f"{len(hosts)} hosts"
        slots = f"{count(report.most_slots, 'slot')} on {names}"
        lines.append(f"{100 * report.efficiency:.0f} % busy for {duration(report.wall)}, {slots}, {used}")
        if idle := idle_line(report):
            lines.append(f"idle: {idle}")
    return "\n".join(textwrap.fill(line, width, subsequent_indent="  ", break_on_hyphens=False) for line in lines)


def _table(rows: Iterable[Iterable[object]], headers: list[str], align: str) -> str:
    """Return a table; `align` has a letter for each column, l or r."""
    from tabulate import tabulate

    sides = [{"l": "left", "r": "right"}[letter] for letter in align]
    cells = [[str(cell) for cell in row] for row in rows]
    return tabulate([headers, *cells], tablefmt="plain", colalign=sides, disable_numparse=True)


def _sessions(report: Report) -> str:
    rows = []
    for number, session in list(enumerate(report.sessions))[-MAX_LINES:]:
        slots = sum(number in slot.sessions for slot in report.slots)
        job = session.job + f", requeue {session.restart}" * bool(session.restart)
        cells = [moment(session.began), duration(session.wall), short_name(session.host, 20), job or "none", slots]
        rows.append([session.number, *cells, f"{session.tasks:,}", session.end_reason])
    if not rows:
        return ""
    return _table(rows, ["session", "began", "lasted", "host", "job", "slots", "tasks", "end"], "rlrllrrl")


def _functions(report: Report) -> str:
    if not report.functions:
        return ""
    shown = report.functions[:MAX_LINES]
    rows = [[short_name(function.name), *function_cells(report, function)] for function in shown]
    table = _table(rows, ["function", *FUNCTION_HEADERS], "lrrrrr")
    edges, counts = histogram(report)
    if len(counts) > 1:
        bars = "".join(BLOCKS[-(-8 * number // max(counts)) - 1] if number else " " for number in counts)
        table += f"\n\nDurations of tasks: {duration(edges[0])} │{bars}│ {duration(edges[-1])}"
    return table + _left_out(len(report.functions) - MAX_LINES, "functions")


def _left_out(number: int, noun: str) -> str:
    return f"\n… and {number:,} more {noun}: --json has all" if number > 0 else ""


def _wrapped(title: str, items: Sequence[tuple[str, str]], width: int) -> str:
    """Return lines under a title: the first text of each item, and its second text in a column beside that."""
    column = min(max(len(first) for first, _ in items), 24)
    lines = [title]
    for first, text in items:
        indent = " " * (column + 4)
        initial = f"  {first:{column}}  "
        if len(first) > column:
            lines.append(f"  {first}")
            initial = indent
        lines += textwrap.wrap(
            text, width, initial_indent=initial, subsequent_indent=indent, break_on_hyphens=False
        )
    return "\n".join(lines)


def _failures(report: Report, width: int) -> str:
    if not report.failures:
        return ""
    items = [
        (f"{one.count:,} {one.error}", f"in {short_name(one.function)} on {', '.join(one.slots)}")
        for one in report.failures[:MAX_LINES]
    ]
    return _wrapped("Failed tasks", items, width) + _left_out(len(report.failures) - MAX_LINES, "kinds")


def _deaths(report: Report, width: int) -> str:
    if not report.deaths:
        return ""
    items = []
    for death in report.deaths[:MAX_LINES]:
        when = f"{clock(death.time)}  {death.worker}"
        items.append((when, f"with {lost_tasks(death)}; {textwrap.shorten(death.cause, 300)}"))
    return _wrapped("Dead workers", items, width) + _left_out(len(report.deaths) - MAX_LINES, "deaths")


def _timeline(report: Report, width: int) -> str:
    """Return a line for each row: its busy time as blocks, and its totals."""
    if not report.wall or not report.slots:
        return ""
    rows = make_rows(report, MAX_ROWS)
    labels = [short_name(row.label, 24) for row in rows]
    beside = max(len(label) for label in labels) + 2
    cells = width - beside - 28
    lines = [f"{'':{beside}}{_ruler(report, cells)}  busy   tasks    memory"]
    for row, label, line in zip(rows, labels, make_grid(report, rows, cells), strict=True):
        slots = [report.slots[number] for number in row.slots]
        share = sum(slot.busy for slot in slots) / (sum(slot.seconds for slot in slots) or 1)
        numbers = f"{100 * share:5.0f} %{sum(slot.tasks for slot in slots):8,}"
        bar = "".join(map(_block, line))
        lines.append(f"{label:{beside}}{bar}{numbers}{memory(sum(slot.peak for slot in slots)):>10}")
    legend = "height: part of the time in which tasks ran" + ", !: a task failed" * bool(report.failed)
    legend += ", X: the worker died" * bool(report.deaths)
    legend += ", number: a session begins" * (len(report.sessions) > 1)
    indent = " " * beside
    return "\n".join([*lines, textwrap.fill(legend, width, initial_indent=indent, subsequent_indent=indent)])


def _ruler(report: Report, cells: int) -> str:
    """Return the line above the slots: the beginnings of sessions, or the time of the only one."""
    if len(report.sessions) == 1:
        return f"{'0 s':{cells // 2}}{duration(report.wall):>{cells - cells // 2}}"
    line = " " * cells
    for session, offset in zip(report.sessions, session_offsets(report), strict=False):
        place = min(int(offset / report.wall * cells), cells - 1)
        mark = f"{session.number}"
        line = (line[:place] + mark + line[place + len(mark) :])[:cells]
    return line


def _block(cell: Cell) -> str:
    if cell.died or cell.failed:
        return "X" if cell.died else "!"
    if not cell.present:
        return " "
    return BLOCKS[min(int(8 * cell.share), 7)] if cell.share >= 1 / 16 else "·"


def _advice(report: Report, width: int) -> str:
    found = advise(report)
    return _wrapped("Advice for the next job", found, width) if found else ""


def _notes(report: Report, width: int) -> str:
    return "\n".join(textwrap.fill(f"Note: {note}", width, subsequent_indent="  ") for note in notes(report))
