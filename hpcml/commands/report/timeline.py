"""Slots and time as a grid of cells, for pictures of any resolution; and how long tasks took.

The sessions of a run follow each other in the pictures without the time between them.
"""

import itertools
import math
from collections import defaultdict
from typing import NamedTuple

from hpcml.commands.report.formatting import count
from hpcml.commands.report.model import Report
from hpcml.commands.report.totals import span

__all__ = ["Cell", "Histogram", "Row", "busy_slots", "histogram", "make_grid", "make_rows", "session_offsets"]


class Row(NamedTuple):
    """A line of a picture: one slot, or those of one or several hosts. `slots` count in the report's list."""

    label: str
    slots: tuple[int, ...]


class Cell(NamedTuple):
    """Use of a row in a piece of time: slots that were there, busy ones (both means), the busiest function."""

    there: float = 0.0
    busy: float = 0.0
    function: int = -1
    failed: bool = False
    died: bool = False

    @property
    def share(self) -> float:
        """The part of the time there that tasks ran, between 0 and 1."""
        return min(self.busy / self.there, 1.0) if self.there else 0.0


class Histogram(NamedTuple):
    """Histogram of the tasks' seconds: bin ``i`` is from ``edges[i]`` to ``edges[i + 1]`` seconds."""

    edges: list[float]
    counts: list[int]


def make_rows(report: Report, most: int) -> list[Row]:
    """Return a row for each slot; where these are more than `most`, for each host, or for several hosts."""
    if len(report.slots) <= most:
        return [Row(slot.name, (number,)) for number, slot in enumerate(report.slots)]
    hosts: dict[str, list[int]] = defaultdict(list)
    for number, slot in enumerate(report.slots):
        hosts[slot.host].append(number)
    names = list(hosts)
    size = math.ceil(len(names) / most)
    rows = []
    for first in range(0, len(names), size):
        group = names[first : first + size]
        slots = tuple(itertools.chain.from_iterable(hosts[name] for name in group))
        label = group[0] if len(group) == 1 else f"{group[0]} to {group[-1]}"
        rows.append(Row(f"{label} ({count(len(slots), 'slot')})", slots))
    return rows


def session_offsets(report: Report) -> list[float]:
    """Return where in the pictures each session begins, in seconds, and where the last ends."""
    return list(itertools.accumulate((session.wall for session in report.sessions), initial=0.0))


def make_grid(report: Report, rows: list[Row], cells: int) -> list[list[Cell]]:
    """Return for each row `cells` cells, of equal length in time."""
    step = report.wall / cells or 1.0
    offsets = session_offsets(report)
    row_of = {slot: number for number, row in enumerate(rows) for slot in row.slots}
    there, marks = _there(report, rows, cells, step, offsets), _marks(report, row_of, cells, step, offsets)
    busy: list[list[dict[int, float]]] = [[{} for _ in range(cells)] for _ in rows]
    for task in report.tasks:
        if not task.start:  # not known
            continue
        shift = offsets[task.session] - report.sessions[task.session].began
        start, end = span(report, task)
        for cell, seconds in _pieces(start + shift, end + shift, cells, step):
            found = busy[row_of[task.slot]][cell]
            found[task.function] = found.get(task.function, 0.0) + seconds
    return [
        [
            Cell(there[row][cell] / step, *_busiest(busy[row][cell], step), *marks.get((row, cell), ()))
            for cell in range(cells)
        ]
        for row in range(len(rows))
    ]


def _busiest(functions: dict[int, float], step: float) -> tuple[float, int]:
    if not functions:
        return 0.0, -1
    return sum(functions.values()) / step, max(functions, key=functions.__getitem__)


def _pieces(start: float, end: float, cells: int, step: float) -> list[tuple[int, float]]:
    """Return the cells between two times, and how many seconds of each are."""
    first, last = min(int(start / step), cells - 1), min(int(end / step), cells - 1)
    if first == last:
        return [(first, end - start)]
    inner = [(cell, step) for cell in range(first + 1, last)]
    return [(first, (first + 1) * step - start), *inner, (last, end - last * step)]


def _there(report: Report, rows: list[Row], cells: int, step: float, offsets: list[float]) -> list[list[float]]:
    """Return for how many seconds slots of each row were there in each cell."""
    there = [[0.0] * cells for _ in rows]
    for number, (start, end) in enumerate(itertools.pairwise(offsets)):
        pieces = _pieces(start, end, cells, step)
        for row, line in zip(rows, there, strict=True):
            slots = sum(number in report.slots[slot].sessions for slot in row.slots)
            if slots:
                for cell, seconds in pieces:
                    line[cell] += slots * seconds
    return there


def _marks(
    report: Report, row_of: dict[int, int], cells: int, step: float, offsets: list[float]
) -> dict[tuple[int, int], tuple[bool, bool]]:
    """Return the cells in which a task failed or a worker died: which of both."""

    def place(session: int, slot: int, time: float) -> tuple[int, int]:
        """Return the row and the cell of a moment."""
        since = min(max(time - report.sessions[session].began, 0.0), report.sessions[session].wall)
        return row_of[slot], min(int((offsets[session] + since) / step), cells - 1)

    failed = {
        place(task.session, task.slot, task.start + task.seconds)
        for task in report.tasks
        if task.failed and task.start
    }
    numbers = {slot.name: number for number, slot in enumerate(report.slots)}
    died = {place(death.session, numbers[death.worker], death.time) for death in report.deaths}
    return {where: (where in failed, where in died) for where in failed | died}


def busy_slots(grid: list[list[Cell]]) -> list[tuple[float, float]]:
    """Return how many slots were busy, and how many were there, in each column of a grid."""
    return [
        (sum(min(cell.busy, cell.there) for cell in column), sum(cell.there for cell in column))
        for column in zip(*grid, strict=True)
    ]


def histogram(report: Report, bins: int = 24) -> Histogram:
    """Return how long tasks took, in bins that grow by equal factors from the shortest to the longest."""
    times = [max(task.seconds, 1e-6) for task in report.tasks]
    if not times:
        return Histogram([], [])
    low, high = min(times), max(times)
    if high < 1.05 * low:
        return Histogram([low, high], [len(times)])
    scale = bins / math.log(high / low)
    counts = [0] * bins
    for time in times:
        counts[min(int(scale * math.log(time / low)), bins - 1)] += 1
    return Histogram([low * (high / low) ** (number / bins) for number in range(bins + 1)], counts)
