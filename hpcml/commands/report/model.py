"""Content of a report, as dataclasses.

Times are in seconds, and points in time in seconds since the epoch; memory is in MB.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from hpcml.journal.records import Damage

__all__ = ["Death", "Failure", "Function", "Report", "Session", "Slot", "Task"]


class Task(NamedTuple):
    """A task that ended; `session`, `slot` and `function` are numbers in the lists of the report.

    It is a tuple, for there may be a million of them.
    """

    session: int
    slot: int
    function: int
    start: float
    seconds: float
    failed: bool


@dataclass
class Session:
    """One session of the run.

    Parameters
    ----------
    ended
        The time of its end; without an end in the journal, that of its last record.
    end_reason
        The reason that its end gives; else "cut off", "requeued", or for the last session "no end yet".
    memory
        MB that Slurm granted on each node; empty where the journal does not say.
    sent_nbytes
        Bytes that were sent with the tasks, without large data; 0 where the journal does not say.
    """

    number: int
    began: float
    ended: float
    end_reason: str = ""
    wall: float = 0.0
    host: str = "?"
    job: str = ""
    restart: int = 0
    engine: str = "?"
    slots: dict[str, int] = field(default_factory=dict)
    cpus: int = 0
    cpus_per_slot: int = 1
    memory: dict[str, int] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    tasks: int = 0
    failed: int = 0
    deaths: int = 0
    busy: float = 0.0
    sent_nbytes: int = 0


@dataclass
class Function:
    """The tasks of one function."""

    name: str
    done: int = 0
    failed: int = 0
    busy: float = 0.0
    mean: float = 0.0
    longest: float = 0.0


@dataclass
class Failure:
    """Tasks of one function that raised the same class, and the first slots where they did."""

    function: str
    error: str
    count: int = 0
    slots: list[str] = field(default_factory=list)


@dataclass
class Death:
    """Death of a worker, with the number of its tasks by function; `session` is a number in the report's list."""

    worker: str
    session: int
    time: float
    cause: str
    tasks: dict[str, int]


@dataclass
class Slot:
    """Tasks of one slot.

    Parameters
    ----------
    seconds
        Time of the sessions in which it was present.
    peak
        Peak memory of its workers; 0 where the journal does not say.
    sessions
        Numbers, in the report's list, of the sessions in which it was present.
    """

    name: str
    host: str
    tasks: int = 0
    failed: int = 0
    busy: float = 0.0
    seconds: float = 0.0
    peak: int = 0
    deaths: int = 0
    sessions: list[int] = field(default_factory=list)


@dataclass
class Report:
    """Content of the report of a run.

    Parameters
    ----------
    done, failed
        Tasks that returned, and tasks that raised.
    expected
        Tasks of the last session's calls of ``map`` and of joblib, as far as their number was known.
    done_later, repeated
        Failed tasks that were done in a later session, and tasks that were done more than once.
    off_clock
        Tasks whose times are outside their session: the clocks of the hosts differ.
    wall
        Time of all sessions together, without the time between them.
    slot_seconds, busy
        Slots times wall time, and the part of that in which tasks ran.
    idle
        The other part: "before" the first task of a slot, "between" its tasks, "after" its last, and "unused".
    levels
        Number of slots that were busy at once: seconds.
    core_hours_used, core_hours_allocated
        Busy time times the CPUs of a slot, and wall time times all CPUs.
    """

    run: str
    sessions: list[Session] = field(default_factory=list)
    functions: list[Function] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    deaths: list[Death] = field(default_factory=list)
    slots: list[Slot] = field(default_factory=list)
    damages: list[Damage] = field(default_factory=list)
    done: int = 0
    failed: int = 0
    expected: int = 0
    done_later: int = 0
    repeated: int = 0
    off_clock: int = 0
    wall: float = 0.0
    slot_seconds: float = 0.0
    busy: float = 0.0
    core_hours_used: float = 0.0
    core_hours_allocated: float = 0.0
    idle: dict[str, float] = field(default_factory=dict)
    levels: dict[int, float] = field(default_factory=dict)
    tasks: list[Task] = field(default_factory=list, repr=False)

    @property
    def efficiency(self) -> float:
        """Part of the slots' time in which tasks ran."""
        return self.busy / self.slot_seconds if self.slot_seconds else 0.0

    @property
    def goes_on(self) -> bool:
        """Return whether the last session has no end yet."""
        return bool(self.sessions) and self.sessions[-1].end_reason == "no end yet"

    @property
    def hosts(self) -> list[str]:
        """The hosts that had slots, in order."""
        return list(dict.fromkeys(slot.host for slot in self.slots))

    @property
    def most_slots(self) -> int:
        """Number of slots of the session that had most."""
        return max(Counter(session for slot in self.slots for session in slot.sessions).values(), default=0)
