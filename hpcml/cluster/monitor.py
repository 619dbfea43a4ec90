"""Notes of the driver about each task that ends: the journal, totals, warnings, prints, progress."""

import logging
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Mapping

from hpcml.cluster.dispatch.prints import PrintedLines
from hpcml.cluster.progress import Display, Totals
from hpcml.data.envelope import Call, RecordedOutcome
from hpcml.data.outcomes import Outcome
from hpcml.errors import HpcmlError, WorkerDied
from hpcml.journal.run_journal import RunJournal

__all__ = ["Monitor"]

log = logging.getLogger("hpcml")


class Monitor:
    """Observer of tasks, called in the dispatcher thread: an outcome is recorded first, then shown to the user."""

    def __init__(self, totals: Totals, display: Display, run_journal: RunJournal | None = None) -> None:
        self.totals = totals
        self.display = display
        self._run_journal = run_journal
        self._done: Counter[str] = Counter()
        self._expected: Counter[str] = Counter()
        self.on_change: Callable[[], object] = lambda: None  # called when a task has ended
        self._warned: set[tuple[object, ...]] = set()
        self._lines = PrintedLines(getattr(sys.__stdout__, "encoding", None) or "utf-8")

    def expect(self, group: str, tasks: int) -> None:
        """Note that `tasks` tasks of `group` are about to be submitted."""
        if not tasks:
            return
        self._expected[group] += tasks
        if self._run_journal is not None:
            self._run_journal.expect(group, self._expected[group])

    def finished(self, call: Call, outcome: Outcome, packed: bytes | memoryview) -> None:
        """Record an outcome, and show it; see `hpcml.data.envelope.TaskObserver`."""
        if self._run_journal is not None:
            self._run_journal.finished(call, outcome, packed)
        try:
            self._show(call, outcome)
        except Exception as error:  # a closed pipe, a character that the terminal lacks: the task has succeeded
            log.debug("the display failed: %r", error)

    def failed(self, call: Call, error: HpcmlError, worker: str, seconds: float) -> None:
        """Record a call that has ended its worker too often, or ran too long."""
        self.totals.tasks += 1
        self.totals.failed += 1
        if self._run_journal is not None:
            self._run_journal.failed(call, type(error).__name__, worker, seconds)
        self._advance(call.group)

    def running(self, tasks: Mapping[str, tuple[str, float] | None], waiting: int, left: float | None) -> None:
        """Record changes in what workers do; see `hpcml.data.envelope.TaskObserver`."""
        if self._run_journal is not None:
            self._run_journal.running(tasks, waiting, left)

    def died(self, death: WorkerDied, calls: list[Call]) -> None:
        """Record the death of a worker; see `hpcml.data.envelope.TaskObserver`."""
        if self._run_journal is not None:
            self._run_journal.died(death.worker, str(death), [call.name for call in calls])

    def printed(self, worker: str, stream: int, data: bytes, ended: bool) -> None:
        """Show prints of tasks line by line, on the driver's standard output or error."""
        lines = self._lines.add(worker, stream, data, ended)
        if lines:
            try:
                self.display.write(lines[:-1], error=stream == 1)
            except Exception as error:  # see `finished`
                log.debug("the display failed: %r", error)

    def restored(self, known: RecordedOutcome) -> None:
        """Count one task whose result an earlier session of the run has recorded."""
        self.totals.recalled += 1
        self._advance(known.group)

    def _show(self, call: Call, outcome: Outcome) -> None:
        """Count an outcome, raise its warnings here, and move the progress."""
        ended = call.length if outcome.error is None or not call.keys else len(outcome.value) + 1
        self.totals.tasks += ended
        self.totals.failed += outcome.error is not None
        self.totals.busy += outcome.seconds
        for record in outcome.warnings:
            self._warn(*record)
        self._advance(call.group, ended)

    def _advance(self, group: str, tasks: int = 1) -> None:
        self._done[group] += tasks
        self.on_change()
        self.display.update(group, self._done[group], self._expected[group] or None)

    def _warn(self, text: str, category: type[Warning], filename: str, line: int) -> None:
        """Issue a worker's warning here, each distinct one once."""
        record = (text, category, filename, line)
        if record in self._warned:
            return
        self._warned.add(record)
        try:
            warnings.warn_explicit(text, category, filename, line)
        except Warning as error:  # a filter makes it an error, which this thread can raise to no caller
            log.warning("a task warned: %s: %s", category.__name__, error)
