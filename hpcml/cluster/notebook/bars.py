"""Bars of a notebook: a display in each cell that makes calls, with a bar for each call."""

import contextvars
import sys
import threading
import time
import uuid

from hpcml.cluster.notebook.refresh import Refresh
from hpcml.cluster.notebook.rows import CellRows, Row, as_html, as_text
from hpcml.cluster.notebook.shell import Bundle, Shell

__all__ = ["Bars"]

INTERVAL_SECONDS = 0.3  # a cell whose calls all end sooner has no bar
MAX_CELLS = 100  # with calls that have not ended: those of iterators that nobody reads on do not


class _CellDisplay:
    """Display of one cell, shown in the context of its first call: so the front end puts it in that cell."""

    def __init__(self) -> None:
        self.rows = CellRows()
        self.began = time.monotonic()
        self.id = f"hpcml-{uuid.uuid4().hex}"
        self.context = contextvars.copy_context()
        self.is_shown = False
        self.has_changed = False
        self.has_ended = False  # the cell; its calls may go on

    @property
    def is_short(self) -> bool:
        """True for calls that have ended before anyone could look at a bar."""
        ended = self.rows.ended
        return ended is not None and ended - self.began < INTERVAL_SECONDS


class Bars:
    """Progress of a notebook's calls; see `hpcml.cluster.progress.Display`."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._cells: dict[str, _CellDisplay] = {}
        self._cell_of: dict[str, _CellDisplay] = {}  # by the group of a call
        self._lock = threading.Lock()  # protects both and the rows: callers begin, the dispatcher advances
        self._refresh = Refresh(self._show, INTERVAL_SECONDS)
        shell.watch(self._end_cell)

    def begin(self, group: str, title: str, tasks: int | None, grows: bool = False) -> None:
        """Note that `tasks` tasks of a group are submitted, in the thread of the call."""
        with self._lock:
            cell = self._cell_of.get(group)
            if cell is None:
                cell = self._cell_of[group] = self._cells.setdefault(self._shell.cell(), _CellDisplay())
                cell.rows.rows[group] = Row(title, time.monotonic(), grows)
            cell.rows.rows[group].expect(tasks)
            cell.has_changed = True
        self._refresh.note()

    def update(self, group: str, done: int, expected: int | None) -> None:
        """Move the bar of a call."""
        with self._lock:
            cell = self._cell_of.get(group)
            row = None if cell is None else cell.rows.rows.get(group)
            if cell is None or row is None:
                return
            row.advance(done, time.monotonic())
            cell.has_changed = True
            if row.ended is not None and not row.grows:
                del self._cell_of[group]
        self._refresh.note()

    def write(self, text: str, *, error: bool = False) -> None:
        """Print lines in the cell that runs."""
        print(text, file=sys.stderr if error else sys.stdout, flush=True)

    def close(self) -> None:
        """Show the last state."""
        self._refresh.flush()

    def _end_cell(self, name: str, interrupted: bool) -> None:
        with self._lock:
            cell = self._cells.get(name)
            if cell is None:
                return
            cell.has_ended = True
            if interrupted:
                cell.rows.interrupt(time.monotonic())
                cell.has_changed = True
        if cell.is_shown:
            self._refresh.flush()

    def _show(self) -> None:
        now = time.monotonic()
        with self._lock:
            changed = [cell for cell in self._cells.values() if cell.has_changed and not cell.is_short]
            bundles = [self._bundle(cell, now) for cell in changed]
            self._drop_ended()
        for cell, bundle in zip(changed, bundles, strict=True):
            cell.context.run(self._shell.show, cell.id, bundle, cell.is_shown)
            cell.is_shown = True

    def _bundle(self, cell: _CellDisplay, now: float) -> Bundle:
        cell.has_changed = False
        cell.rows.fold()
        return {"text/plain": as_text(cell.rows, now), "text/html": as_html(cell.rows, now)}

    def _drop_ended(self) -> None:
        """Drop the cells that have ended with all their calls."""
        ended = [name for name, cell in self._cells.items() if cell.has_ended and cell.rows.ended is not None]
        for name in [*ended, *list(self._cells)[:-MAX_CELLS]]:
            cell = self._cells.pop(name, None)
            for group in () if cell is None else cell.rows.rows:
                self._cell_of.pop(group, None)
