"""Report from the records of a journal.

The run may still be running, or be cut off, and its journal be damaged. A record whose session is lost begins a
session of its own, a task whose name is lost has a number in its place, and records of unknown kinds are skipped.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from hpcml.commands.report.model import Death, Failure, Function, Report, Session, Slot, Task
from hpcml.commands.report.totals import add_up
from hpcml.journal.records import Damage, Record

__all__ = ["clean", "make_report"]

T = TypeVar("T")

SLOTS_NAMED = 5  # for each kind of failure


def make_report(items: Iterable[Record | Damage], run: str = "") -> Report:
    """Return the report of the run named `run` from the items of its journal.

    Examples
    --------
    >>> from hpcml.journal.records import Record
    >>> from hpcml.commands.report.from_journal import make_report
    >>> heads = [
    ...     {"session": 1, "began": 100.0, "host": "n1", "slots": {"n1": 2}, "cpus": 2, "cpus_per_slot": 1},
    ...     {"name": 0, "is": "fit"},
    ...     {"task": "a", "name": 0, "at": "n1:0", "t": 100.0, "s": 6.0, "m": 50},
    ...     {"end": "ended", "t": 110.0},
    ... ]
    >>> report = make_report(Record(head, 0, 0) for head in heads)
    >>> report.done, report.busy, report.slot_seconds, report.levels
    (1, 6.0, 20.0, {0: 4.0, 1: 6.0})
    """
    builder = _ReportBuilder(clean(run))
    for item in items:
        if isinstance(item, Damage):
            builder.report.damages.append(item)
        else:
            builder.add(item.head)
    builder.finish()
    add_up(builder.report)
    return builder.report


def clean(text: object) -> str:
    r"""Return `text` as one line that cannot steer a terminal: characters that cannot be printed are escaped.

    Examples
    --------
    >>> from hpcml.commands.report.from_journal import clean
    >>> clean("fit\x1b[31m\n\udc80")
    'fit\\x1b[31m \\udc80'
    """
    line = " ".join(str(text).split())
    return (
        line if line.isprintable() else "".join(char if char.isprintable() else ascii(char)[1:-1] for char in line)
    )


def _slot_order(slot: str) -> list[int | str]:
    return [int(part) if number % 2 else part for number, part in enumerate(re.split(r"([0-9]+)", slot))]


def _sort(items: list[T], order: Callable[[T], Any]) -> dict[int, int]:
    """Sort `items` in place, and return old place: new place."""
    numbers = sorted(range(len(items)), key=lambda number: order(items[number]))
    items[:] = [items[number] for number in numbers]
    return {old: new for new, old in enumerate(numbers)}


class _ReportBuilder:
    """Builder of a report from records, which are added in order."""

    def __init__(self, run: str) -> None:
        self.report = Report(run)
        self._names: dict[int, str] = {}
        self._functions: dict[str, int] = {}
        self._slots: dict[str, int] = {}
        self._failures: dict[tuple[str, str], Failure] = {}
        self._is_open = False  # whether the last session has no end yet
        self._is_begin_lost = False  # whether the record of its beginning is lost
        self._expected: dict[str, int] = {}  # tasks of each group in the last session
        self._done: set[str] = set()
        self._failed: set[str] = set()

    def add(self, head: Mapping[str, Any]) -> None:
        """Add one record, by its head."""
        if "session" in head:
            self._begin_session(head)
        elif "task" in head:
            if "at" in head:
                self._add_task(head)
        elif "keys" in head:
            self._add_chunk(head)
        elif "death" in head:
            self._add_death(head)
        elif "now" in head:
            self._session_at(head["now"])
        elif "expect" in head:
            self._expected[head["expect"]] = head["tasks"]
            self.report.expected = sum(self._expected.values())
        elif "end" in head:
            self._end_session(head)
        elif "is" in head:
            self._names[head["name"]] = clean(head["is"])

    def _end_session(self, head: Mapping[str, Any]) -> None:
        # Without a session that is open, this is the end of a session that failed before its beginning.
        if self._is_open:
            session = self.report.sessions[-1]
            session.end_reason = clean(head["end"])
            # The clocks of the hosts may differ.
            session.ended = max(session.began, head["t"])
            session.sent_nbytes = head.get("sent", 0)
        self._is_open = False

    def _begin_session(self, head: Mapping[str, Any]) -> None:
        """Begin a session; a former session without an end was cut off."""
        session = Session(head["session"], head["began"], head["began"])
        self._expected = {}
        self.report.expected = 0
        for name in ("host", "job", "engine"):
            setattr(session, name, clean(head.get(name, getattr(session, name))))
        for name in ("restart", "cpus", "cpus_per_slot"):
            setattr(session, name, head.get(name, getattr(session, name)))
        for name in ("slots", "memory"):
            setattr(session, name, {clean(key): value for key, value in head.get(name, {}).items()})
        session.versions = {clean(key): clean(value) for key, value in head.get("versions", {}).items()}
        if self._is_open:
            before = self.report.sessions[-1]
            again = before.job and before.job == session.job and before.restart < session.restart
            before.end_reason = "requeued" if again else "cut off"
        self.report.sessions.append(session)
        self._is_open = True
        self._is_begin_lost = False
        for host, count in session.slots.items():
            for number in range(count):
                self._slot(f"{host}:{number}")

    def _session_at(self, time: float) -> Session:
        """Return the session of a record of this time; begin one where its own record is lost."""
        sessions = self.report.sessions
        if not self._is_open:
            number = sessions[-1].number + 1 if sessions else 1
            sessions.append(Session(number, time, time))
            self._is_open = True
            self._is_begin_lost = True
        sessions[-1].ended = max(sessions[-1].ended, time)
        return sessions[-1]

    def _slot(self, name: str) -> int:
        """Return the number of a slot, and note that it is present in the last session."""
        if name not in self._slots:
            self._slots[name] = len(self._slots)
            self.report.slots.append(Slot(name, name.rpartition(":")[0]))
        number = self._slots[name]
        session = len(self.report.sessions) - 1
        sessions = self.report.slots[number].sessions
        if not sessions or sessions[-1] != session:
            sessions.append(session)
        return number

    def _add_task(self, head: Mapping[str, Any]) -> None:
        failed = "error" in head
        key = head["task"].rpartition(":")[2]  # without the versions
        session = self._session_at(head["t"] + head["s"])
        if self._is_begin_lost and head["t"]:  # 0: the time is not recorded
            session.began = min(session.began or head["t"], head["t"])
        slot = self._slot(clean(head["at"]))
        name = self._names.get(head["name"], f"(name {head['name']} is lost)")
        function = self._functions.setdefault(name, len(self._functions))
        if function == len(self.report.functions):
            self.report.functions.append(Function(name))
        self.report.functions[function].busy += head["s"]
        session.tasks += 1
        session.failed += failed
        self.report.slots[slot].peak = max(self.report.slots[slot].peak, head.get("m", 0))
        self.report.tasks.append(Task(len(self.report.sessions) - 1, slot, function, head["t"], head["s"], failed))
        if failed:
            self._add_failure(name, clean(head["error"]), self.report.slots[slot].name)
        self._count_repetition(key, failed)

    def _add_chunk(self, head: Mapping[str, Any]) -> None:
        """Add tasks that ran one after the other, as if each had taken the mean."""
        share = head["s"] / len(head["keys"])
        for number, key in enumerate(head["keys"]):
            start = head["t"] and head["t"] + number * share
            self._add_task({**head, "task": f"{head['salt']}:{key}" if key else "", "s": share, "t": start})

    def _add_failure(self, function: str, error: str, slot: str) -> None:
        failure = self._failures.setdefault((function, error), Failure(function, error))
        failure.count += 1
        if slot not in failure.slots and len(failure.slots) < SLOTS_NAMED:
            failure.slots.append(slot)

    def _count_repetition(self, key: str, failed: bool) -> None:
        """Count a failed task that is done later, and a task that is done again."""
        if not key:
            return
        if failed:
            self._failed.add(key)
            return
        self.report.repeated += key in self._done
        self.report.done_later += key in self._failed
        self._failed.discard(key)
        self._done.add(key)

    def _add_death(self, head: Mapping[str, Any]) -> None:
        session = self._session_at(head["t"])
        session.deaths += 1
        worker = clean(head["death"])
        cause = clean(head["cause"]).removeprefix(f"{worker} ")
        tasks = Counter(map(clean, head["tasks"]))
        self.report.slots[self._slot(worker)].deaths += 1
        self.report.deaths.append(Death(worker, len(self.report.sessions) - 1, head["t"], cause, dict(tasks)))

    def finish(self) -> None:
        """Sort failures, slots and functions, once all records are added."""
        report = self.report
        if self._is_open:
            report.sessions[-1].end_reason = "no end yet"
        report.failures = sorted(self._failures.values(), key=lambda failure: -failure.count)
        slots = _sort(report.slots, lambda slot: _slot_order(slot.name))
        functions = _sort(report.functions, lambda function: -function.busy)
        report.tasks = [
            task._replace(slot=slots[task.slot], function=functions[task.function]) for task in report.tasks
        ]
