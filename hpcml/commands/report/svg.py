"""Pictures of a report as SVG, which are as large for a million tasks as for a thousand."""

import itertools
import math
from collections import defaultdict
from html import escape
from typing import TypeVar

from hpcml.cluster.notebook.words import count
from hpcml.commands.report.formatting import duration, memory, moment, short_name
from hpcml.commands.report.model import Report
from hpcml.commands.report.timeline import Cell, Row, busy_slots, histogram, make_grid, make_rows, session_offsets

__all__ = ["COLOURS", "OTHER", "busy_picture", "colour_of", "duration_picture", "timeline_picture"]

T = TypeVar("T")

COLOURS = 6  # functions that have a colour of their own; see the style sheet
OTHER = "other"
CELLS = 900  # pieces of time, one for each pixel
LEFT = 150  # pixels, as are RIGHT and HEIGHT
RIGHT = 60
HEIGHT = 180
MAX_ROWS = 64
LEVELS = 8  # heights of a block


def colour_of(function: int) -> str:
    """Return the class of the style sheet for a function, given its place among the busiest."""
    return f"f{function}" if function < COLOURS else OTHER


def timeline_picture(report: Report) -> str:
    """Return the picture of the slots over time.

    A block has the colour of its function, and is as high as the part of the time in which tasks ran.
    """
    rows = make_rows(report, MAX_ROWS)
    grid = make_grid(report, rows, CELLS)
    pitch = 22 if len(rows) <= 24 else 14
    parts = [
        _row(report, row, line, 4 + number * pitch, pitch - 4)
        for number, (row, line) in enumerate(zip(rows, grid, strict=True))
    ]
    height = pitch * len(rows) + 4
    return _picture("Slots over time", height, [*parts, _sessions(report, height), _time_axis(report, height)])


def _row(report: Report, row: Row, line: list[Cell], top: int, height: int) -> str:
    slots = [report.slots[number] for number in row.slots]
    share = sum(slot.busy for slot in slots) / (sum(slot.seconds for slot in slots) or 1)
    tasks = count(sum(slot.tasks for slot in slots), "task")
    title = f"{row.label}: {tasks}, {100 * share:.0f} % busy, memory {memory(sum(slot.peak for slot in slots))}"
    bottom = top + height
    present = "".join(
        f"M{LEFT + start} {top}h{stop - start}v{height}h-{stop - start}z"
        for start, stop, is_present in _runs([cell.present > 0 for cell in line])
        if is_present
    )
    blocks: dict[str, list[str]] = defaultdict(list)
    for start, stop, (function, level) in _runs(
        [(cell.function, math.ceil(cell.share * LEVELS)) for cell in line]
    ):
        if function >= 0:
            up = height * level / LEVELS
            blocks[colour_of(function)].append(f"M{LEFT + start} {bottom}v-{up:g}h{stop - start}v{up:g}z")
    paths = [f'<path class="{colour}" d="{"".join(found)}"/>' for colour, found in blocks.items()]
    failed = "".join(f"M{LEFT + x - 3} {top - 3}h7l-3.5 7z" for x, cell in enumerate(line) if cell.failed)
    died = "".join(
        f"M{LEFT + x - 5} {top}l10 {height}m0 -{height}l-10 {height}" for x, cell in enumerate(line) if cell.died
    )
    return (
        f'<g><title>{escape(title)}</title><path class="present" d="{present}"/>{"".join(paths)}'
        f'<path class="failed" d="{failed}"/><path class="died" d="{died}"/>'
        f'<text x="{LEFT - 8}" y="{top + height / 2 + 4:g}" class="end">{escape(short_name(row.label, 20))}</text>'
        f'<text x="{LEFT + CELLS + 8}" y="{top + height / 2 + 4:g}">{100 * share:.0f} %</text></g>'
    )


def _runs(values: list[T]) -> list[tuple[int, int, T]]:
    """Return stretches of equal values: start, stop, and the value."""
    runs = []
    place = 0
    for value, group in itertools.groupby(values):
        length = len(list(group))
        runs.append((place, place + length, value))
        place += length
    return runs


def busy_picture(report: Report) -> str:
    """Return the picture of the number of busy slots, and of all slots, over time."""
    columns = busy_slots(make_grid(report, make_rows(report, MAX_ROWS), CELLS))
    most = max((present for _, present in columns), default=0) or 1
    busy = "".join(f"L{LEFT + x} {HEIGHT * (1 - number / most):.1f}h1" for x, (number, _) in enumerate(columns))
    present = "".join(
        f"M{LEFT + start} {HEIGHT * (1 - number / most):.1f}h{stop - start}"
        for start, stop, number in _runs([round(number) for _, number in columns])
    )
    parts = [
        f'<path class="f0" d="M{LEFT} {HEIGHT}{busy}V{HEIGHT}z"/><path class="limit" d="{present}"/>',
        f'<text x="{LEFT - 8}" y="10" class="end">{most:.0f}</text>',
        f'<text x="{LEFT - 8}" y="{HEIGHT}" class="end">0</text>',
        _sessions(report, HEIGHT),
        _time_axis(report, HEIGHT),
    ]
    return _picture("Busy slots over time", HEIGHT, parts)


def duration_picture(report: Report) -> str:
    """Return the picture of the histogram of the tasks' seconds; "" without tasks."""
    edges, counts = histogram(report)
    if not counts:
        return ""
    width = CELLS / len(counts)
    most = max(counts)
    parts = []
    for number, tasks in enumerate(counts):
        up = HEIGHT * tasks / most
        title = f"{count(tasks, 'task')} of {duration(edges[number])} to {duration(edges[number + 1])}"
        parts.append(
            f'<g><title>{escape(title)}</title><rect class="f0" x="{LEFT + number * width + 1:.1f}" '
            f'y="{HEIGHT - up:.1f}" width="{max(width - 2, 1):.1f}" height="{up:.1f}"/></g>'
        )
    step = max(len(counts) // 6, 1)
    for number in range(0, len(edges), step):
        x = LEFT + CELLS * number / len(counts)
        parts.append(f'<text x="{x:.0f}" y="{HEIGHT + 18}" class="middle">{duration(edges[number])}</text>')
    parts.append(f'<text x="{LEFT - 8}" y="10" class="end">{count(most, "task")}</text>')
    return _picture("Durations of tasks", HEIGHT, parts)


def _picture(title: str, height: int, parts: list[str]) -> str:
    width = LEFT + CELLS + RIGHT
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 -16 {width} {height + 42}">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )


def _sessions(report: Report, height: int) -> str:
    """Return a line at the beginning of each session, with its number; its title says how the former ended."""
    lines = []
    free = 0.0  # where there is room for the next label
    offsets = session_offsets(report)
    for number, session in list(enumerate(report.sessions))[1 : CELLS // 2]:
        before = report.sessions[number - 1]
        x = LEFT + CELLS * offsets[number] / (report.wall or 1)
        gap = duration(max(session.began - before.ended, 0))
        title = f"session {before.number}: {before.end_reason}; session {session.number} began {gap} later, "
        title += moment(session.began)
        label = f"session {session.number}" + ", requeued" * (before.end_reason == "requeued")
        text = f'<text x="{x + 3:.1f}" y="-5">{escape(label)}</text>' if x >= free else ""
        free = x + 110 if text else free
        path = f'<path class="session" d="M{x:.1f} -14V{height}"/>'
        lines.append(f"<g><title>{escape(title)}</title>{path}{text}</g>")
    return "".join(lines)


def _time_axis(report: Report, height: int) -> str:
    """Return round times below a picture."""
    wall = report.wall or 1.0
    steps = [10.0**power * factor for power in range(-6, 2) for factor in (1, 2, 5) if 10.0**power * factor < 15]
    steps += [15, 30, 60, 120, 300, 600, 1800, *(3600 * 2**power for power in range(30))]
    step = next(step for step in steps if step > wall / 9)
    marks = []
    for number in range(int(wall / step) + 1):
        x = LEFT + CELLS * number * step / wall
        text = duration(number * step)
        marks.append(f'<path class="tick" d="M{x:.1f} {height}v5"/>')
        marks.append(f'<text x="{x:.1f}" y="{height + 18}" class="middle">{text}</text>')
    return "".join(marks)
