"""Interactive session: the cells of an IPython session, and what a Cluster shows there and ends there."""

import uuid
from collections.abc import Callable, Set
from functools import partial

from hpcml.cluster.notebook.bars import Bars
from hpcml.cluster.notebook.facts import ClusterFacts
from hpcml.cluster.notebook.pages import as_html, as_line
from hpcml.cluster.notebook.refresh import Refresh
from hpcml.cluster.notebook.shell import Bundle, Shell

__all__ = ["Interactive", "bundle_of"]

REFRESH_SECONDS = 1.0
MAX_VIEWS = 3  # of one Cluster that are kept up to date, the last


_open: set["Interactive"] = set()  # of the Clusters that are open in this IPython session


class Interactive:
    """Part of a Cluster that belongs to an IPython session; in plain Python, which has no cells, it does nothing.

    A task belongs to the cell that submits it in the main thread. When a cell is interrupted, its tasks are ended;
    tasks of other cells and of threads go on.
    """

    def __init__(self) -> None:
        self._shell = Shell.find()
        self._opened_in = "" if self._shell is None else self._shell.own_cell()
        self._cell = ""
        self._groups: set[str] = set()  # of the calls of that cell
        self._views: dict[str, Callable[[], ClusterFacts]] = {}
        self._refresh = Refresh(self._update_views, REFRESH_SECONDS)

    @property
    def is_notebook(self) -> bool:
        """True where a front end shows HTML."""
        return self._shell is not None and self._shell.is_notebook

    def new_bars(self) -> Bars | None:
        """Return the progress display for a notebook; None elsewhere."""
        return Bars(self._shell) if self._shell is not None and self._shell.is_notebook else None

    def watch(self, end_calls: Callable[[Set[str]], object], end: Callable[[], object]) -> None:
        """Call ``end_calls(groups)`` with the groups of an interrupted cell's calls, and `end` with the kernel.

        A kernel that ends kills its child processes, and workers must not be replaced then.
        """
        if self._shell is not None:
            self._shell.watch(partial(self._end_cell, end_calls))
            self._shell.at_shutdown(end)

    def _end_cell(self, end_calls: Callable[[Set[str]], object], cell: str, interrupted: bool) -> None:
        groups = self._groups
        self._groups = set()
        if interrupted and groups and cell == self._cell:
            end_calls(groups)
            self.note_change()

    def is_one_more(self) -> bool:
        """Return whether a Cluster of an earlier cell is open, as when a cell that opens one is run again."""
        others = {one._opened_in for one in _open}
        if self._shell is not None:
            _open.add(self)
        return bool(self._opened_in and others - {"", self._opened_in})

    def group_of(self, name: str) -> str:
        """Return the group of the calls of a function that the caller's cell submits one by one."""
        cell = "" if self._shell is None else self._shell.own_cell()
        return f"{name} in {cell}" if cell else name

    def note_call(self, group: str) -> None:
        """Note that the caller submits tasks of a group."""
        self.note_change()
        if self._shell is None or not (cell := self._shell.own_cell()):
            return
        if cell != self._cell:
            self._cell = cell
            self._groups = set()
        self._groups.add(group)

    def note_change(self) -> None:
        """Have the displays of the Cluster updated soon."""
        if self._views:
            self._refresh.note()

    def show(self, facts: Callable[[], ClusterFacts]) -> bool:
        """Show the state of a Cluster in this cell, and keep it up to date; False where a front end cannot."""
        if self._shell is None or not self._shell.is_notebook:
            return False
        view = f"hpcml-{uuid.uuid4().hex}"
        self._shell.show(view, bundle_of(facts()), update=False)
        self._views[view] = facts
        for old in list(self._views)[:-MAX_VIEWS]:
            del self._views[old]
        return True

    def _update_views(self) -> None:
        for view, facts in list(self._views.items()):
            if self._shell is not None:
                self._shell.show(view, bundle_of(facts()), update=True)

    def close(self) -> None:
        """Show the last state, and take no notice of cells any more."""
        _open.discard(self)
        self.note_change()
        self._refresh.flush()
        if self._shell is not None:
            self._shell.close()


def bundle_of(facts: ClusterFacts) -> Bundle:
    """Return a Cluster's state for a front end, which takes the form that it can show."""
    return {"text/plain": as_line(facts), "text/html": as_html(facts)}
