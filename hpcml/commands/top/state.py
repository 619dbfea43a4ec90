"""State of a run so far, from the records of its journal; see `hpcml.journal.run_journal`."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hpcml.commands.report.from_journal import clean

__all__ = ["RunState", "SlotState"]

RATE_SECONDS = 60.0  # in which ended tasks are counted for the rate, or longer for long tasks
TASKS_IN_RATE = 3  # of mean length, that a slot has in the time of the rate
LONGEST_RATE_SECONDS = 86_400


@dataclass
class SlotState:
    """A slot: the task that runs there since a time, and those that have ended; memory in MB.

    ``task`` is "" where none is announced: the slot is idle, or has short tasks, of which ``last`` is the latest.
    """

    name: str
    task: str = ""
    since: float = 0.0
    last: str = ""
    ended: float = 0.0
    tasks: int = 0
    failed: int = 0
    busy: float = 0.0
    memory: int = 0
    deaths: int = 0

    @property
    def host(self) -> str:
        """Host of the slot."""
        return self.name.rpartition(":")[0]


@dataclass
class RunState:
    """The last session of a run, and the tasks of all its sessions.

    Parameters
    ----------
    time
        Time of the latest record.
    end_reason
        Reason for which the last session has ended; "" while it has no end.
    expected
        Tasks of the last session's calls of ``map`` and of joblib; 0 where that is not known.
    left
        Seconds that the job had left for tasks at `left_at`; None without a time limit.
    """

    run: str
    session: int = 0
    host: str = ""
    job: str = ""
    engine: str = ""
    began: float = 0.0
    time: float = 0.0
    end_reason: str = ""
    done: int = 0
    failed: int = 0
    deaths: int = 0
    waiting: int = 0
    left: float | None = None
    left_at: float = 0.0
    slots: dict[str, SlotState] = field(default_factory=dict)
    functions: dict[str, int] = field(default_factory=dict)
    """Number of ended tasks by the name of their function."""
    _names: dict[int, str] = field(default_factory=dict)
    _expected: dict[str, int] = field(default_factory=dict)
    _rate_began: float = 0.0
    _seconds: deque[list[float]] = field(default_factory=deque)
    """Second, and the tasks that ended in it, since the last call of which all tasks have ended."""

    @property
    def expected(self) -> int:
        """Number of tasks of the last session's calls, as far as known."""
        return sum(self._expected.values())

    def add(self, head: Mapping[str, Any]) -> None:
        """Add a record, by its head; unknown kinds are skipped."""
        if "session" in head:
            self._begin(head)
        elif "keys" in head:
            self._end_tasks(head, len(head["keys"]))
        elif "task" in head:
            self._end_tasks(head, 1)
        elif "now" in head:
            self._note_running(head)
        elif "death" in head:
            self._note_death(head)
        elif "expect" in head:
            self._expect(head["expect"], head["tasks"])
        elif "end" in head:
            self._end(head)
        elif "is" in head:
            self._names[head["name"]] = clean(head["is"])

    def _begin(self, head: Mapping[str, Any]) -> None:
        self.session = head["session"]
        self.host, self.job, self.engine = (clean(head.get(name, "")) for name in ("host", "job", "engine"))
        self.began = self.time = self._rate_began = head["began"]
        self.end_reason = ""
        self.waiting = 0
        self.left = None
        self.slots = {}
        self._expected = {}
        self._seconds.clear()
        for host, count in head.get("slots", {}).items():
            for number in range(count):
                self._slot(f"{host}:{number}")

    def _expect(self, group: str, tasks: int) -> None:
        if group not in self._expected and self.done + self.failed >= self.expected:
            # The tasks of a next call can be much longer: its rate is its own.
            self._rate_began = self.time
            self._seconds.clear()
        self._expected[group] = tasks

    def _slot(self, worker: object) -> SlotState:
        name = clean(worker)
        return self.slots.setdefault(name, SlotState(name))

    def _name(self, number: int) -> str:
        return self._names.get(number, f"(name {number} is lost)")

    def _end_tasks(self, head: Mapping[str, Any], count: int) -> None:
        has_failed = "error" in head
        self.done += 0 if has_failed else count
        self.failed += has_failed
        name = self._name(head["name"])
        self.functions[name] = self.functions.get(name, 0) + count
        if "at" not in head:
            return
        slot = self._slot(head["at"])
        slot.tasks += count
        slot.failed += has_failed
        slot.busy += head["s"]
        slot.memory = max(slot.memory, head.get("m", 0))
        slot.last, slot.task = name, ""
        slot.ended = (head["t"] or self.time) + head["s"]
        self.time = max(self.time, slot.ended)
        self._count_end(slot.ended, count)

    def _count_end(self, ended: float, count: int) -> None:
        """Note ended tasks for the rate; clocks differ, so a time may be before the one that came last."""
        second = float(int(ended))
        if self._seconds and second <= self._seconds[-1][0]:
            self._seconds[-1][1] += count
            return
        self._seconds.append([second, count])
        while self._seconds[0][0] < second - LONGEST_RATE_SECONDS:
            self._seconds.popleft()

    def _note_running(self, head: Mapping[str, Any]) -> None:
        self.time = max(self.time, head["now"])
        self.waiting = head["waiting"]
        self.left, self.left_at = head.get("left"), head["now"]
        for worker, task in head["running"].items():
            slot = self._slot(worker)
            slot.task, slot.since = ("", 0.0) if task is None else (self._name(task[0]), task[1])

    def _note_death(self, head: Mapping[str, Any]) -> None:
        self.time = max(self.time, head["t"])
        slot = self._slot(head["death"])
        slot.deaths += 1
        slot.task = ""
        self.deaths += 1

    def _end(self, head: Mapping[str, Any]) -> None:
        self.end_reason = clean(head["end"])
        self.time = max(self.time, head["t"])
        self.waiting = 0
        for slot in self.slots.values():
            slot.task = ""

    def rate(self, now: float) -> float | None:
        """Return the tasks that ended in a second, of the present call, until `now`; None before the first.

        Examples
        --------
        >>> from hpcml.commands.top.state import RunState
        >>> state = RunState("run")
        >>> state.add({"session": 1, "began": 100.0, "slots": {"n1": 1}})
        >>> state.add({"task": "", "name": 0, "at": "n1:0", "t": 100.0, "s": 10.0})
        >>> state.add({"task": "", "name": 0, "at": "n1:0", "t": 110.0, "s": 10.0})
        >>> state.rate(120.0)
        0.1
        """
        tasks = sum(slot.tasks for slot in self.slots.values())
        if not tasks or not self._seconds:
            return None
        mean = sum(slot.busy for slot in self.slots.values()) / tasks
        seconds = min(max(now - self._rate_began, 1e-3), max(RATE_SECONDS, TASKS_IN_RATE * mean))
        count = sum(count for second, count in self._seconds if second + 1 > now - seconds)
        if count:
            return count / seconds
        return sum(count for _, count in self._seconds) / max(now - self._rate_began, 1e-3)

    def seconds_left(self, now: float) -> float | None:
        """Return the estimated seconds until the expected tasks are done; None where that is not known."""
        rate = self.rate(now)
        rest = self.expected - self.done - self.failed
        return rest / rate if rate and self.expected and rest >= 0 else None

    def limit_left(self, now: float) -> float | None:
        """Return the seconds that the job has left for tasks; None without a time limit."""
        return None if self.left is None else max(self.left - (now - self.left_at), 0.0)
