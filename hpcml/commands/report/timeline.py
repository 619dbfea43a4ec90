"""Slots and time as a grid of cells, for pictures of any resolution; and the histogram of the tasks' seconds.

The sessions of a run follow each other in the pictures without the time between them.
"""

import itertools
import math
from collections import defaultdict
from typing import NamedTuple

from hpcml.cluster.notebook.words import count
from hpcml.commands.report.model import Report
from hpcml.commands.report.totals import span

__all__ = ["Cell", "Histogram", "Row", "busy_slots", "histogram", "make_grid", "make_rows", "session_offsets"]


class Row(NamedTuple):
    """Line of a picture: one slot, or the slots of some hosts. `slots` are numbers in the report's list."""

    label: str
    slots: tuple[int, ...]


class Cell(NamedTuple):
    """Use of a row in a piece of time: mean number of slots present, and of busy ones; the busiest function."""

    present: float = 0.0
    busy: float = 0.0
    function: int = -1
    failed: bool = False
    died: bool = False

    @property
    def share(self) -> float:
        """Part of the slots' time in which tasks ran, between 0 and 1."""
        return min(self.busy / self.present, 1.0) if self.present else 0.0


class Histogram(NamedTuple):
    """Histogram of the tasks' seconds: bin ``i`` is from ``edges[i]`` to ``edges[i + 1]`` seconds."""

    edges: list[float]
    counts: list[int]


def make_rows(report: Report, most: int) -> list[Row]:
    """Return a row for each slot; with more than `most` slots, for each host, or for several hosts."""
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
    """Return the seconds in the pictures at which each session begins, and at which the last ends."""
    return list(itertools.accumulate((session.wall for session in report.sessions), initial=0.0))


def make_grid(report: Report, rows: list[Row], cells: int) -> list[list[Cell]]:
    """Return `cells` cells for each row, of equal length in time."""
    step = report.wall / cells or 1.0
    offsets = session_offsets(report)
    row_of = {slot: number for number, row in enumerate(rows) for slot in row.slots}
    present = _slot_seconds(report, rows, cells, step, offsets)
    marks = _marks(report, row_of, cells, step, offsets)
    busy: list[list[dict[int, float]]] = [[{} for _ in range(cells)] for _ in rows]
    for task in report.tasks:
        if not task.start:  # not recorded
            continue
        shift = offsets[task.session] - report.sessions[task.session].began
        start, end = span(report, task)
        for cell, seconds in _pieces(start + shift, end + shift, cells, step):
            found = busy[row_of[task.slot]][cell]
            found[task.function] = found.get(task.function, 0.0) + seconds
    return [
        [
            Cell(present[row][cell] / step, *_busiest(busy[row][cell], step), *marks.get((row, cell), ()))
            for cell in range(cells)
        ]
        for row in range(len(rows))
    ]


def _busiest(functions: dict[int, float], step: float) -> tuple[float, int]:
    if not functions:
        return 0.0, -1
    return sum(functions.values()) / step, max(functions, key=functions.__getitem__)


def _pieces(start: float, end: float, cells: int, step: float) -> list[tuple[int, float]]:
    """Return the cells between two times, and the seconds of each that are between these."""
    first = min(int(start / step), cells - 1)
    last = min(int(end / step), cells - 1)
    if first == last:
        return [(first, end - start)]
    inner = [(cell, step) for cell in range(first + 1, last)]
    return [(first, (first + 1) * step - start), *inner, (last, end - last * step)]


def _slot_seconds(
    report: Report, rows: list[Row], cells: int, step: float, offsets: list[float]
) -> list[list[float]]:
    """Return for each row and cell the seconds of all slots that were present."""
    found = [[0.0] * cells for _ in rows]
    for number, (start, end) in enumerate(itertools.pairwise(offsets)):
        pieces = _pieces(start, end, cells, step)
        for row, line in zip(rows, found, strict=True):
            slots = sum(number in report.slots[slot].sessions for slot in row.slots)
            if slots:
                for cell, seconds in pieces:
                    line[cell] += slots * seconds
    return found


def _marks(
    report: Report, row_of: dict[int, int], cells: int, step: float, offsets: list[float]
) -> dict[tuple[int, int], tuple[bool, bool]]:
    """Return (row, cell): whether a task failed, and whether a worker died; cells without either are left out."""

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
    """Return the number of busy slots, and of slots present, in each column of a grid."""
    return [
        (sum(min(cell.busy, cell.present) for cell in column), sum(cell.present for cell in column))
        for column in zip(*grid, strict=True)
    ]


def histogram(report: Report, bins: int = 24) -> Histogram:
    """Return the histogram of the tasks' seconds; its bins grow by equal factors from the shortest task on."""
    times = [max(task.seconds, 1e-6) for task in report.tasks]
    if not times:
        return Histogram([], [])
    low = min(times)
    high = max(times)
    if high < 1.05 * low:
        return Histogram([low, high], [len(times)])
    scale = bins / math.log(high / low)
    counts = [0] * bins
    for time in times:
        counts[min(int(scale * math.log(time / low)), bins - 1)] += 1
    return Histogram([low * (high / low) ** (number / bins) for number in range(bins + 1)], counts)
