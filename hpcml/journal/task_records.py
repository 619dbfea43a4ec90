"""Records of tasks and of dead workers, as a session appends them; see `hpcml.journal.run_journal`."""

import contextlib
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from hpcml.data.classes import NewClasses
from hpcml.data.digests import digest
from hpcml.data.envelope import Call
from hpcml.data.outcomes import Outcome, pack_again
from hpcml.journal.recorded_results import RecordedResults

__all__ = ["TaskRecords"]

Append = Callable[[Mapping[str, object], bytes | memoryview], None]
"""Function that appends a record: its head and its body."""


class TaskRecords:
    """Writer of task records. A name, class or set of modules that several tasks share is recorded once.

    Parameters
    ----------
    salt
        Digest of the versions that results depend on.
    recorded
        Results of earlier sessions, with the classes and modules that these have recorded.
    """

    def __init__(self, append: Append, salt: str, recorded: RecordedResults) -> None:
        self._append = append
        self._salt = salt
        self._recorded = recorded
        self._classes = NewClasses()
        self._names: dict[str, int] = {}
        self._next_name = 0
        self._codes: dict[bytes, str] = {}  # digests, by the modules as workers pack them

    def restore(self, head: Mapping[str, Any]) -> None:
        """Note the number of a name, from a record of an earlier session."""
        if "is" in head:
            self._names[head["is"]] = head["name"]
        if isinstance(head.get("name"), int):
            self._next_name = max(self._next_name, head["name"] + 1)

    def note_classes(self, classes: Iterable[type]) -> None:
        """Note classes of the script, which are recorded before the next task."""
        self._classes.add(classes)

    def finished(self, call: Call, outcome: Outcome, packed: bytes | memoryview) -> None:
        """Record a task that has ended, or a chunk of tasks."""
        if call.keys:
            self._finished_chunk(call, outcome, packed)
            return
        head = {"task": f"{self._salt}:{call.key}" if call.key else "", **self._describe(call, outcome)}
        if outcome.error is not None:
            head["error"] = type(outcome.error).__name__
        self._append(head, packed if outcome.error is None and call.key else b"")

    def _finished_chunk(self, chunk: Call, outcome: Outcome, packed: bytes | memoryview) -> None:
        """Record the calls of a chunk; after a failed call, those before it in one record, and that call."""
        if outcome.error is None:
            self._append({"keys": chunk.keys, "salt": self._salt, **self._describe(chunk, outcome)}, packed)
            return
        done = len(outcome.value)
        share = outcome.seconds / (done + 1)
        if done:
            before = outcome._replace(error=None, seconds=share * done)
            # Results that the driver has unpickled and cannot pickle again are not recorded.
            with contextlib.suppress(Exception):
                packed = pack_again(before)
                self._finished_chunk(chunk._replace(keys=chunk.keys[:done]), before, packed)
        failed = outcome._replace(value=None, seconds=share)
        self.finished(chunk._replace(key=chunk.keys[done], keys=()), failed, b"")

    def _describe(self, call: Call, outcome: Outcome) -> dict[str, object]:
        """Return the fields that the records of tasks and of chunks have in common."""
        for number, note in self._classes.take():
            if self._recorded.classes.get(number) != note:
                self._recorded.classes[number] = note
                self._append({"class": number, "of": note}, b"")
        return {
            **self._code(outcome.modules),
            "name": self._number(call.name),
            "at": outcome.worker,
            "t": round(outcome.started, 3),
            "s": round(outcome.seconds, 6),
            "m": outcome.peak,
        }

    def _code(self, modules: bytes) -> dict[str, str]:
        """Return the field for the user's modules that the worker of a task had imported."""
        if not modules:
            return {}
        code = self._codes.get(modules)
        if code is None:
            code = self._codes[modules] = digest(modules)[:16]
            if code not in self._recorded.modules:
                self._recorded.modules[code] = json.loads(modules)
                self._append({"code": code, "of": self._recorded.modules[code]}, b"")
        return {"c": code}

    def _number(self, name: str) -> int:
        if name not in self._names:
            self._names[name] = self._next_name
            self._next_name += 1
            self._append({"name": self._names[name], "is": name}, b"")
        return self._names[name]

    def failed(self, call: Call, error: str, worker: str, seconds: float) -> None:
        """Record a call that has ended its worker too often, or ran too long."""
        key = call.key or "".join(call.keys[:1])
        times = {"t": round(time.time() - seconds, 3), "s": round(seconds, 6)}
        self._append({"task": key, "name": self._number(call.name), "at": worker, **times, "error": error}, b"")

    def running(self, tasks: Mapping[str, tuple[str, float] | None], waiting: int, left: float | None) -> None:
        """Record changes in what workers do; see `hpcml.data.envelope.TaskObserver`."""
        running = {
            worker: None if task is None else [self._number(task[0]), round(task[1], 1)]
            for worker, task in tasks.items()
        }
        ends = {} if left is None else {"left": round(left)}
        self._append({"now": round(time.time(), 1), "running": running, "waiting": waiting, **ends}, b"")

    def died(self, worker: str, cause: str, names: Sequence[str]) -> None:
        """Record the death of a worker, and the names of the tasks that it had."""
        self._append({"death": worker, "t": time.time(), "cause": cause, "tasks": list(names)}, b"")
