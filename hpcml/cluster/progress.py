"""Progress while tasks run: a bar, or lines in a log; and the closing line."""

import math
import sys
import time
from dataclasses import dataclass
from typing import Any, Protocol, TextIO

__all__ = ["Bar", "Display", "Lines", "Quiet", "Totals", "closing_line", "display_for"]


@dataclass
class Totals:
    """Totals of a Cluster so far; times in seconds, ``opened`` on the clock of `time.monotonic`.

    ``slot_seconds`` and ``cpu_seconds`` are of jobs that came and went; None for slots that were always there.
    """

    tasks: int = 0
    failed: int = 0
    recalled: int = 0
    busy: float = 0.0
    slots: int = 0
    hosts: int = 0
    cpus_per_slot: int = 1
    opened: float = 0.0
    allocated_cpus: int = 0
    slot_seconds: float | None = None
    cpu_seconds: float | None = None


def closing_line(totals: Totals, now: float) -> str:
    """Return the line that ends a run; `now` and ``totals.opened`` are on the same clock.

    Core-hours used are the seconds that tasks ran times the CPUs of a slot; allocated are all CPUs of
    the allocation for as long as the Cluster was open.

    Examples
    --------
    >>> from hpcml.cluster.progress import Totals, closing_line
    >>> closing_line(Totals(tasks=400, busy=3000, slots=12, hosts=3, opened=0, allocated_cpus=12), 300)
    'hpcml: 400 tasks on 12 slots of 3 hosts in 300.0 s, 83 % busy, 0.83 of 1.00 core-hours used'
    """
    wall = max(now - totals.opened, 1e-9)
    busy = totals.busy / (totals.slot_seconds or wall * max(totals.slots, 1))
    used = totals.busy * totals.cpus_per_slot / 3600
    allocated = (totals.cpu_seconds or totals.allocated_cpus * wall) / 3600
    failed = f", {totals.failed} failed" if totals.failed else ""
    failed += f", and {totals.recalled} from the journal," if totals.recalled else ""
    digits = 2 if allocated >= 0.1 else 4
    return (
        f"hpcml: {_count(totals.tasks, 'task')}{failed} on {_count(totals.slots, 'slot')} of "
        f"{_count(totals.hosts, 'host')} in {wall:.1f} s, {100 * busy:.0f} % busy, "
        f"{used:.{digits}f} of {allocated:.{digits}f} core-hours used"
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


class Display(Protocol):
    """Shows the progress of tasks; a group is a call of ``map`` or of ``joblib.Parallel``."""

    def begin(self, group: str, title: str, tasks: int | None, grows: bool = False) -> None:
        """Note that `tasks` tasks of a group (None: unknown) are submitted, in the thread of the call.

        Parameters
        ----------
        title
            Name of the function, for people.
        grows
            Further tasks of the group may be submitted.
        """

    def update(self, group: str, done: int, expected: int | None) -> None:
        """Show that `done` of `expected` tasks of a group (None: unknown) have ended."""

    def write(self, text: str, *, error: bool = False) -> None:
        """Print lines on standard output, or error, above the progress."""

    def close(self) -> None:
        """Remove or finish the progress."""


class Bar:
    """A bar in a terminal (tqdm), for all groups together."""

    def __init__(self, file: TextIO) -> None:
        from tqdm import tqdm

        self._tqdm = tqdm
        self._file = file
        self._bar: Any = None
        self._groups: dict[str, tuple[int, int | None]] = {}

    def begin(self, group: str, title: str, tasks: int | None, grows: bool = False) -> None:
        """Wait for the first task that ends."""

    def update(self, group: str, done: int, expected: int | None) -> None:
        """Move the bar."""
        self._groups[group] = (done, expected)
        lengths = [expected for _, expected in self._groups.values()]
        total = None if None in lengths else sum(length for length in lengths if length)
        if self._bar is None:
            self._bar = self._tqdm(unit="task", total=total, file=self._file, leave=False, dynamic_ncols=True)
        self._bar.total = total
        self._bar.update(sum(done for done, _ in self._groups.values()) - self._bar.n)

    def write(self, text: str, *, error: bool = False) -> None:
        """Print lines above the bar."""
        self._tqdm.write(text, file=sys.stderr if error else sys.stdout)

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()


# An evolution of a thousand generations has a group for each, whose lines would fill the log: after the first
# groups, a group has lines only when it runs longer than this.
GROUPS_SHOWN_AT_ONCE = 3
HIDDEN_SECONDS = 5.0


class Lines:
    """A line for each tenth of a group, or each doubling where its length is unknown: for log files."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._next: dict[str, float] = {}
        self._began: dict[str, float] = {}

    def begin(self, group: str, title: str, tasks: int | None, grows: bool = False) -> None:
        """Wait for the first tenth."""

    def update(self, group: str, done: int, expected: int | None) -> None:
        """Print a line when another tenth is done."""
        began = self._began.setdefault(group, time.monotonic())
        if len(self._began) > GROUPS_SHOWN_AT_ONCE and time.monotonic() < began + HIDDEN_SECONDS:
            return
        if done < self._next.get(group, 16 if expected is None else expected / 10):
            return
        if expected is None:
            self._print(f"hpcml: {done} tasks done")
            self._next[group] = 2 * done
        else:
            self._print(f"hpcml: {done} of {expected} tasks done ({100 * done / expected:.0f} %)")
            self._next[group] = math.floor(10 * done / expected + 1) * expected / 10

    def write(self, text: str, *, error: bool = False) -> None:
        """Print lines."""
        print(text, file=sys.stderr if error else sys.stdout, flush=True)

    def close(self) -> None:
        """Do nothing: the lines stay."""

    def _print(self, line: str) -> None:
        print(line, file=self._file, flush=True)


class Quiet:
    """No progress: only lines that are written are shown."""

    def begin(self, group: str, title: str, tasks: int | None, grows: bool = False) -> None:
        """Show nothing."""

    def update(self, group: str, done: int, expected: int | None) -> None:
        """Show nothing."""

    def write(self, text: str, *, error: bool = False) -> None:
        """Print lines."""
        print(text, file=sys.stderr if error else sys.stdout, flush=True)

    def close(self) -> None:
        """Do nothing."""


def display_for(progress: bool, file: TextIO) -> Display:
    """Return the display for `file`: a bar in a terminal, else lines; `Quiet` without `progress`."""
    if not progress:
        return Quiet()
    return Bar(file) if file.isatty() else Lines(file)
