"""Rows of a cell's display: one for each call of ``map``, ``submit`` or ``joblib.Parallel``; HTML and text."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from html import escape

from hpcml.cluster.notebook.words import count, duration

__all__ = ["CellRows", "Row", "as_html", "as_text"]

MAX_ROWS = 5  # that have ended; earlier ones are added up in one line

_STYLE = "border:none;padding:0 0.8em 0 0;text-align:left;background:none"
_NUMBERS = "font-variant-numeric:tabular-nums"


@dataclass
class Row:
    """Progress of one call; times on the clock of `time.monotonic`.

    Parameters
    ----------
    title
        Name of the function.
    expected
        Number of its tasks; None: unknown.
    grows
        Whether further tasks may be submitted, as they are by ``submit``.
    ended
        When the last task ended, or the call was interrupted.
    """

    title: str
    began: float
    grows: bool = False
    done: int = 0
    expected: int | None = 0
    ended: float | None = None
    interrupted: bool = False

    def expect(self, tasks: int | None) -> None:
        """Add `tasks` that have been submitted."""
        self.expected = None if tasks is None or self.expected is None else self.expected + tasks
        self.ended = None

    def advance(self, done: int, now: float) -> None:
        """Note that `done` tasks have ended."""
        self.done = done
        if self.expected is not None and done >= self.expected:
            self.ended = now


@dataclass
class CellRows:
    """Rows of one cell, in the order in which the calls began; ``earlier`` calls are only added up."""

    rows: dict[str, Row] = field(default_factory=dict)
    earlier_calls: int = 0
    earlier_tasks: int = 0

    def fold(self) -> None:
        """Add up the calls that have ended for good, but for the last few."""
        ended = [group for group, row in self.rows.items() if row.ended is not None and not row.grows]
        for group in ended[:-MAX_ROWS]:
            self.earlier_calls += 1
            self.earlier_tasks += self.rows.pop(group).done

    def interrupt(self, now: float) -> None:
        """Note that the calls that have not ended were interrupted."""
        for row in self.rows.values():
            if row.ended is None:
                row.ended = now
                row.interrupted = True

    @property
    def ended(self) -> float | None:
        """Time of the end of the last call; None while one goes on."""
        ends = [row.ended for row in self.rows.values() if row.ended is not None]
        return max(ends) if len(ends) == len(self.rows) else None


def _count(row: Row) -> str:
    return count(row.done, "task") if row.expected is None else f"{row.done:,} of {count(row.expected, 'task')}"


def _time(row: Row, now: float) -> str:
    """Return the time that a call has taken, its rate, and the time that it still takes if that goes on."""
    seconds = (now if row.ended is None else row.ended) - row.began
    words = [duration(seconds)]
    if row.done and seconds > 0:
        words.append(f"{row.done / seconds:,.3g} / s")
    if row.interrupted:
        words.append("interrupted")
    elif row.ended is None and row.expected and row.done:
        words.append(f"{duration(seconds / row.done * (row.expected - row.done))} left")
    return ", ".join(words)


def _earlier(cell: CellRows) -> str:
    return f"{cell.earlier_calls:,} earlier calls, {cell.earlier_tasks:,} tasks" if cell.earlier_calls else ""


def as_text(cell: CellRows, now: float) -> str:
    """Return the rows of a cell as text, a line for each.

    Examples
    --------
    >>> from hpcml.cluster.notebook.rows import CellRows, Row, as_text
    >>> as_text(CellRows({"f #1": Row("f", began=10, done=30, expected=120)}), now=20)
    'f: 30 of 120 tasks, 10 s, 3 / s, 30 s left'
    """
    lines = [f"{row.title}: {_count(row)}, {_time(row, now)}" for row in cell.rows.values()]
    return "\n".join([_earlier(cell), *lines] if cell.earlier_calls else lines)


def as_html(cell: CellRows, now: float) -> str:
    """Return the rows of a cell as a table with a bar in each row."""
    rows = "".join(_tr(_html_cells(row, now)) for row in cell.rows.values())
    first = _tr([f"<i>{_earlier(cell)}</i>"], span=3) if cell.earlier_calls else ""
    return f'<table class="hpcml-progress" style="border:none;margin:0;{_NUMBERS}">{first}{rows}</table>'


def _html_cells(row: Row, now: float) -> Iterable[str]:
    at = f'value="{row.done}" max="{row.expected}" ' if row.expected else ""
    if row.expected is None and row.ended is not None:
        at = 'value="1" '
    return escape(row.title), f'<progress {at}style="width:14em"></progress>', f"{_count(row)}, {_time(row, now)}"


def _tr(cells: Iterable[str], span: int = 1) -> str:
    columns = f' colspan="{span}"' if span > 1 else ""
    inner = "".join(f'<td{columns} style="{_STYLE}">{cell}</td>' for cell in cells)
    return f'<tr style="background:none">{inner}</tr>'
