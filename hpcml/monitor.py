"""What the driver notes of each task that ends: totals, warnings, prints, progress."""

import logging
import warnings
from collections import Counter

from hpcml.progress import Display, Totals
from hpcml.task import Call, Outcome

__all__ = ["Monitor"]

log = logging.getLogger("hpcml")


class Monitor:
    """Takes the outcomes of tasks, in the dispatcher thread, and shows them to the user."""

    def __init__(self, totals: Totals, display: Display) -> None:
        self.totals, self.display = totals, display
        self._done: Counter[str] = Counter()
        self._expected: Counter[str] = Counter()
        self._warned: set[tuple[object, ...]] = set()

    def expect(self, group: str, tasks: int) -> None:
        """Note that so many tasks of `group` are about to come."""
        self._expected[group] += tasks

    def note(self, call: Call, outcome: Outcome) -> None:
        """Take one outcome: count it, pass on what it printed and warned of, and move the progress."""
        self.totals.tasks += call.tasks
        self.totals.failed += outcome.error is not None
        self.totals.busy += outcome.seconds
        for record in outcome.warnings:
            self._warn(*record)
        if outcome.output:
            lines = outcome.output.rstrip("\n").split("\n")
            self.display.write("\n".join(f"[{outcome.worker}] {line}" for line in lines))
        self._done[call.group] += call.tasks
        self.display.update(call.group, self._done[call.group], self._expected[call.group] or None)

    def _warn(self, text: str, category: type[Warning], filename: str, line: int) -> None:
        """Raise a worker's warning here, each distinct one once."""
        record = (text, category, filename, line)
        if record in self._warned:
            return
        self._warned.add(record)
        try:
            warnings.warn_explicit(text, category, filename, line)
        except Warning as error:  # a filter turns it into an error; there is no caller here to raise it to
            log.warning("a task warned: %s: %s", category.__name__, error)
