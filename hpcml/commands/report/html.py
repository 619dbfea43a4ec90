"""Report as one HTML file, without scripts and links, light or dark as the reader's system is."""

from collections.abc import Iterable, Sequence
from html import escape
from importlib import resources
from string import Template

from hpcml.cluster.notebook.words import count
from hpcml.commands.report.advice import advise
from hpcml.commands.report.formatting import duration, memory, moment, short_name
from hpcml.commands.report.model import Report
from hpcml.commands.report.notes import notes
from hpcml.commands.report.svg import COLOURS, busy_picture, colour_of, duration_picture, timeline_picture
from hpcml.commands.report.text import FUNCTION_HEADERS, function_cells, headline, idle_line, lost_tasks

__all__ = ["render_html"]

MAX_ROWS = 200  # of a table


def render_html(report: Report, refresh: int | None = None) -> str:
    """Return the report as a whole HTML page, which is well-formed XML too.

    Parameters
    ----------
    refresh
        Seconds after which a browser loads the page again; None: never.

    Examples
    --------
    >>> from hpcml.commands.report.html import render_html
    >>> from hpcml.commands.report.model import Report
    >>> "<h1>a &lt;run&gt;</h1>" in render_html(Report("a <run>"))
    True
    """
    parts = [_opening(report), _advice(report)]
    if report.wall and report.slots:
        parts += [_section("Slots over time", _legend(report) + timeline_picture(report))]
        parts += [_section("Busy slots over time", busy_picture(report))]
    if report.tasks:
        parts += [_section("Durations of tasks", duration_picture(report)), _functions(report)]
    parts += [_failures(report), _deaths(report), _sessions(report), _slots(report), _versions(report)]
    body = "\n".join(part for part in parts if part)
    again = "" if refresh is None else f'<meta http-equiv="refresh" content="{refresh}"/>\n'
    return _page().substitute(title=escape(f"hpcml: {report.run}"), refresh=again, body=body)


def _page() -> Template:
    """Return the page, with its style sheet, around a title and a body."""
    return Template(resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8"))


def _section(title: str, content: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{content}</section>"


def _table(title: str, headers: str, rows: Sequence[Iterable[object]]) -> str:
    """Return a section with a table, "" without rows. A header that begins with # is that of numbers."""
    if not rows:
        return ""
    names = headers.split("|")
    kinds = [' class="n"' if name.startswith("#") else "" for name in names]
    head = "".join(
        f"<th{kind}>{escape(name.removeprefix('#'))}</th>" for name, kind in zip(names, kinds, strict=True)
    )
    lines = [
        "<tr>"
        + "".join(f"<td{kind}>{escape(str(cell))}</td>" for cell, kind in zip(row, kinds, strict=True))
        + "</tr>"
        for row in rows[:MAX_ROWS]
    ]
    hidden = len(rows) - MAX_ROWS
    rest = f'<p class="soft">… and {hidden:,} more: --json has all</p>' if hidden > 0 else ""
    return _section(title, f'<div class="scroll"><table><tr>{head}</tr>{"".join(lines)}</table></div>{rest}')


def _opening(report: Report) -> str:
    tiles = [
        (f"{100 * report.efficiency:.0f} %", "of the slots' time busy"),
        (duration(report.wall), "with the workers there"),
        (f"{report.most_slots:,}", f"slots on {count(len(report.hosts), 'host')}"),
        (f"{report.core_hours_used:.3g}", f"of {report.core_hours_allocated:.3g} core-hours used"),
    ]
    cards = "".join(f"<div><b>{escape(value)}</b>{escape(text)}</div>" for value, text in tiles)
    lines = [f"<h1>{escape(report.run)}</h1>", f"<p>{escape(headline(report))}</p>"]
    lines += [f'<p class="bad">Note: {escape(note)}</p>' for note in notes(report)]
    if report.slot_seconds:
        lines += [f'<div class="tiles">{cards}</div>']
        lines += [f'<p class="soft">Idle: {escape(idle)}</p>' for idle in [idle_line(report)] if idle]
    return "<header>" + "".join(lines) + "</header>"


def _advice(report: Report) -> str:
    found = advise(report)
    if not found:
        return ""
    rows = [
        f"<tr><td><code>{escape(option)}</code></td><td>{escape(reason)}</td></tr>" for option, reason in found
    ]
    return _section("Advice for the next job", f"<table>{''.join(rows)}</table>")


def _legend(report: Report) -> str:
    def entry(picture: str, text: str) -> str:
        """Return a colour or a mark, and its meaning."""
        return f'<span><svg viewBox="0 0 10 10">{picture}</svg> {escape(text)}</span>'

    names = [short_name(function.name) for function in report.functions]
    entries = [
        entry(f'<rect class="{colour_of(number)}" width="10" height="10"/>', name)
        for number, name in enumerate(names[:COLOURS])
    ]
    if len(names) > COLOURS:
        entries.append(entry('<rect class="other" width="10" height="10"/>', "other functions"))
    entries.append(entry('<rect class="present" width="10" height="10"/>', "idle"))
    if report.failed:
        entries.append(entry('<path class="failed" d="M0 0h10l-5 10z"/>', "a task failed"))
    if report.deaths:
        entries.append(entry('<path class="died" d="M0 0l10 10m0 -10l-10 10"/>', "the worker died"))
    text = "The height of a block is the part of that time in which tasks ran. Time between sessions is left out."
    return f'<p class="legend">{"".join(entries)}</p><p class="soft">{text}</p>'


def _functions(report: Report) -> str:
    rows = [[function.name, *function_cells(report, function)] for function in report.functions]
    return _table("Functions", "|#".join(["function", *FUNCTION_HEADERS]), rows)


def _failures(report: Report) -> str:
    rows = [
        [failure.error, f"{failure.count:,}", failure.function, ", ".join(failure.slots)]
        for failure in report.failures
    ]
    return _table("Failed tasks", "error|#tasks|function|slots, the first ones", rows)


def _deaths(report: Report) -> str:
    rows = [[moment(death.time), death.worker, lost_tasks(death), death.cause] for death in report.deaths]
    return _table("Dead workers", "when|worker|with tasks|cause", rows)


def _sessions(report: Report) -> str:
    rows = []
    for number, session in enumerate(report.sessions):
        slots = sum(number in slot.sessions for slot in report.slots)
        job = session.job + f", requeue {session.restart}" * bool(session.restart)
        cells = [session.number, moment(session.began), duration(session.wall), session.host]
        cells += [job or "none", session.engine]
        rows.append([*cells, slots, f"{session.tasks:,}", session.end_reason])
    return _table("Sessions of the run", "session|began|#lasted|driver on|job|engine|#slots|#tasks|end", rows)


def _slots(report: Report) -> str:
    rows = []
    for slot in report.slots:
        share = slot.busy / (slot.seconds or 1)
        idle = max(slot.seconds - slot.busy, 0)
        tasks = [f"{slot.tasks:,}", f"{slot.failed:,}"]
        rows.append([slot.name, *tasks, f"{100 * share:.0f} %", duration(idle), memory(slot.peak), slot.deaths])
    return _table("Slots", "slot|#tasks|#failed|#busy|#idle|#most memory|#deaths", rows)


def _versions(report: Report) -> str:
    versions = report.sessions[-1].versions if report.sessions else {}
    text = ", ".join(f"{name} {version}" for name, version in versions.items())
    return f'<p class="soft">{escape(text)}</p>' if text else ""
