"""Results that earlier sessions of a run have recorded, and whether this session can reuse them."""

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


class _Location(NamedTuple):
    """Location of a result: its worker, its record, and its place in a chunk."""

    worker: str
    record: Record
    place: int | None


class RecordedResults:
    """The results of earlier sessions.

    Parameters
    ----------
    salt
        Digest of the versions that results depend on: results with another salt are outdated.
    read_body
        Returns the body of a record.
    """

    def __init__(self, salt: str, read_body: Callable[[Record], bytes]) -> None:
        self._salt = salt
        self._read_body = read_body
        self._locations: dict[str, _Location] = {}
        self._outdated: set[str] = set()
        # The chunk that was read last: where its record begins, and its outcome.
        self._last_chunk: tuple[int, Outcome] = (-1, Outcome())
        self.modules: dict[str, dict[str, Any]] = {}  # see `hpcml.data.imported_modules`, by their digest
        self.classes: dict[str, ClassNote] = {}  # by their number in pickles
        self._warnings: set[str] = set()

    def add(self, record: Record) -> None:
        """Add the results, the modules or the class in a record of an earlier session."""
        head = record.head
        if "task" in head:
            if "error" not in head and head["task"]:
                self._add_result(head["task"], record)
        elif "keys" in head:
            for place, key in enumerate(head["keys"]):
                if key:
                    self._add_result(f"{head['salt']}:{key}", record, place)
        elif "code" in head:
            self.modules[head["code"]] = head["of"]
        elif "class" in head:
            self.classes[head["class"]] = ClassNote(*head["of"])

    def _add_result(self, task: str, record: Record, place: int | None = None) -> None:
        salt, _, key = task.partition(":")
        if salt == self._salt:
            self._locations[key] = _Location(record.head["at"], record, place)
        else:
            self._outdated.add(key)

    @property
    def outdated(self) -> int:
        """Number of results that were recorded with other versions only."""
        return len(self._outdated.difference(self._locations))

    @property
    def reusable(self) -> int:
        """Number of results that can be reused."""
        return len(self._locations)

    def pop(self, key: str, classes: Iterable[type]) -> Outcome | None:
        """Return the outcome of a task, once; None without one, or where the code that made it has changed.

        Parameters
        ----------
        classes
            Classes of the script that the call refers to: objects in the result are of these.
        """
        found = self._locations.pop(key, None)
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
        if outcome.error is not None:
            # The record cannot be read, or its result cannot be unpickled any more.
            self._warn_once(f"a recorded result cannot be used, so its task runs again: {outcome.error}")
            return None
        return outcome

    def _warn_once(self, message: str) -> None:
        if message not in self._warnings:
            self._warnings.add(message)
            log.warning("%s", message)

    def _read(self, found: _Location, classes: Iterable[type]) -> Outcome:
        """Return a recorded outcome; that of a chunk is unpacked once for calls that follow each other."""
        record = found.record
        if "keys" not in record.head:
            return self._unpack(found, classes)
        if self._last_chunk[0] != record.offset:
            self._last_chunk = (record.offset, self._unpack(found, classes))
        return self._last_chunk[1]

    def _unpack(self, found: _Location, classes: Iterable[type]) -> Outcome:
        def find_noted_class(number: str) -> type | None:
            """Return the class that has this number in pickles; None where none is recorded."""
            note = self.classes.get(number)
            return None if note is None else find_class(note, classes)

        return unpack_outcome(self._read_body(found.record), found.worker, find=find_noted_class)
