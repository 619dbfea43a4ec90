"""IPython's shell: the cell that runs, displays that can be updated, and the end of each cell.

A cell is known by the id of the message that ordered it; in a terminal, which has no messages, by its number.
"""

import logging
import sys
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Self

__all__ = ["Bundle", "Shell"]

log = logging.getLogger("hpcml")

Bundle = Mapping[str, str]
"""Content of a display: one text for each MIME type."""

EndOfCell = Callable[[str, bool], object]
"""Function of a cell that has ended, and whether it was interrupted."""


class Shell:
    """IPython's shell of this process.

    Parameters
    ----------
    shell
        An ``InteractiveShell`` of IPython; that of a notebook has a ``kernel``.
    """

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._watchers: list[Callable[[Any], None]] = []
        self._at_shutdown: Callable[[Any], object] | None = None

    @classmethod
    def find(cls) -> Self | None:
        """Return the shell of this process; None in plain Python."""
        find = getattr(sys.modules.get("IPython"), "get_ipython", None)
        shell = None if find is None else find()
        return None if shell is None else cls(shell)

    @property
    def is_notebook(self) -> bool:
        """True where a front end shows HTML, and updates displays: a notebook's kernel."""
        return hasattr(self._shell, "kernel")

    def cell(self) -> str:
        """Return the id of the cell that runs now."""
        if not self.is_notebook:
            return str(self._shell.execution_count)
        parent = self._shell.get_parent()
        return str(parent.get("header", parent).get("msg_id", ""))

    def own_cell(self) -> str:
        """Return the id of the caller's cell; "" in a thread: an interrupt of the cell leaves threads alone."""
        return self.cell() if threading.current_thread() is threading.main_thread() else ""

    def show(self, display: str, bundle: Bundle, update: bool) -> None:
        """Show a display in the caller's cell; with `update`, change that display where it is."""
        self._shell.display_pub.publish(
            data=dict(bundle), metadata={}, transient={"display_id": display}, update=update
        )

    def watch(self, at_end: EndOfCell) -> None:
        """Call `at_end` at the end of each cell, before the front end takes the cell as ended."""

        callback = partial(self._end_cell, at_end)
        self._watchers.append(callback)
        self._shell.events.register("post_run_cell", callback)

    def _end_cell(self, at_end: EndOfCell, result: Any) -> None:
        try:
            at_end(self.cell(), _is_interrupted(result))
        except Exception as error:
            log.debug("the end of a cell was not noted: %r", error)

    def at_shutdown(self, end: Callable[[], object]) -> None:
        """Call `end` when a notebook's kernel is asked to end, before it ends its child processes one by one."""
        if self.is_notebook:
            self._at_shutdown = lambda change: end() if change["new"] else None
            self._shell.observe(self._at_shutdown, "exit_now")

    def close(self) -> None:
        """Call no function any more."""
        if self._at_shutdown is not None:
            self._shell.unobserve(self._at_shutdown, "exit_now")
            self._at_shutdown = None
        while self._watchers:
            self._shell.events.unregister("post_run_cell", self._watchers.pop())


def _is_interrupted(result: Any) -> bool:
    """Return whether a cell was interrupted; one that awaits something has no result then."""
    if result is None:
        return True
    from asyncio import CancelledError  # which IPython has loaded; other programs need not

    errors = (result.error_in_exec, result.error_before_exec)
    return any(isinstance(error, KeyboardInterrupt | CancelledError) for error in errors)
