"""Results that earlier sessions of a run have recorded, and whether this one can use them."""

import logging
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from hpcml.data.classes import ClassNote, find_class
from hpcml.data.imported_modules import are_current
from hpcml.data.outcomes import Outcome, unpack_outcome
from hpcml.errors import HpcmlError
from hpcml.journal.records import Record

__all__ = ["RecordedResults"]

log = logging.getLogger("hpcml")


class _Answer(NamedTuple):
    """Where a result is recorded: which worker it came from, and its place in a chunk."""

    worker: str
    record: Record
    place: int | None


class RecordedResults:
    """The results of earlier sessions.

    Parameters
    ----------
    salt
        A digest of the versions that results depend on: those of others are retired.
    read
        Returns the body of a record.
    """

    def __init__(self, salt: str, read: Callable[[Record], bytes]) -> None:
        self._salt = salt
        self._read_body = read
        self._answers: dict[str, _Answer] = {}
        self._chunk: tuple[int, Outcome] = (-1, Outcome())  # the one that was read last, and where it begins
        self._retired: set[str] = set()
        self.modules: dict[str, dict[str, Any]] = {}  # see `hpcml.data.imported_modules`, by their digest
        self.classes: dict[str, ClassNote] = {}  # by the number that pickles know them by
        self._said: set[str] = set()

    def take(self, record: Record) -> None:
        """Take in what an earlier session has recorded."""
        head = record.head
        if "task" in head:
            if "error" not in head and head["task"]:
                self._know(head["task"], record)
        elif "keys" in head:
            for place, key in enumerate(head["keys"]):
                if key:
                    self._know(f"{head['salt']}:{key}", record, place)
        elif "code" in head:
            self.modules[head["code"]] = head["of"]
        elif "class" in head:
            self.classes[head["class"]] = ClassNote(*head["of"])

    def _know(self, task: str, record: Record, place: int | None = None) -> None:
        salt, _, key = task.partition(":")
        if salt == self._salt:
            self._answers[key] = _Answer(record.head["at"], record, place)
        else:
            self._retired.add(key)

    @property
    def outdated(self) -> int:
        """Number of results that cannot be used, for those had other versions."""
        return len(self._retired.difference(self._answers))

    @property
    def reusable(self) -> int:
        """Number of results that can be used."""
        return len(self._answers)

    def pop(self, key: str, classes: Iterable[type]) -> Outcome | None:
        """Return the outcome of a task; once, and only where the code that it comes from is still the same.

        Parameters
        ----------
        classes
            Those of the script that the call consists of: objects in the result are of them.
        """
        found = self._answers.pop(key, None)
        if found is None:
            return None
        modules = found.record.head.get("c", "")
        if modules and not are_current(modules, self.modules.get(modules, {"": ("", "")})):
            return None
        try:
            outcome = self._read(found, classes)
        except HpcmlError as error:
            outcome = Outcome(error=error)
        if found.place is not None and outcome.error is None:
            share = outcome.seconds / len(outcome.value)
            outcome = outcome._replace(value=outcome.value[found.place], seconds=share)
        if outcome.error is not None:  # it cannot be read, or not be unpickled any more
            self._warn(f"a recorded result cannot be used, so its task runs again: {outcome.error}")
            return None
        return outcome

    def _warn(self, message: str) -> None:
        if message not in self._said:
            self._said.add(message)
            log.warning("%s", message)

    def _read(self, found: _Answer, classes: Iterable[type]) -> Outcome:
        """Return a recorded outcome; that of a chunk is asked for once for each of its calls."""
        record = found.record
        if "keys" not in record.head:
            return self._unpack(found, classes)
        if self._chunk[0] != record.offset:
            self._chunk = (record.offset, self._unpack(found, classes))
        return self._chunk[1]

    def _unpack(self, found: _Answer, classes: Iterable[type]) -> Outcome:
        def _find(number: str) -> type | None:
            note = self.classes.get(number)
            return None if note is None else find_class(note, classes)

        return unpack_outcome(self._read_body(found.record), found.worker, find=_find)
