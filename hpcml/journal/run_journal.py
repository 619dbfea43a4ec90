"""Task records of a run: written to its journal, and looked up there when the run is resumed.

A session of a run begins with the record of who it is, on what, and with which versions. Then each task that ends
has a record, whose body is the outcome as the worker packed it, and each death of a worker has one.

=========  ======================================================================================================
``session``   number of the session; ``began``, ``host``, ``pid``, ``job``, ``restart``, ``versions``, ``engine``,
           ``slots`` (of each node), ``cpus`` (allocated), ``cpus_per_slot``, ``memory`` (granted, MB)
``name``   number of a name, and what it stands for (``is``)
``task``   key of a task that ended, after a digest of the versions; ``name`` (its number), ``at`` (worker),
           ``t`` (start), ``s`` (seconds), ``m`` (the most memory that its worker has had, MB), ``error`` (the
           class of what it raised)
``keys``   those of a chunk of tasks that ended, as ``task``; of all of them: ``name``, ``at``, ``t``, ``s``, ``m``
``code``   digest of the user's modules that a worker had imported, ``c`` of tasks; ``of``: its modules
``class``  number of a class of the script in pickles; ``of``: see `hpcml.data.classes.ClassNote`
``death``  worker that died; ``t``, ``cause``, ``tasks`` (names of what it was doing)
``end``    how the session ended; ``t``
=========  ======================================================================================================

Times are seconds since the epoch, by the clock of the computer that measured them.
"""

import contextlib
import json
import logging
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hpcml.data.classes import NewClasses
from hpcml.data.digests import digest
from hpcml.data.envelope import Call
from hpcml.data.outcomes import Outcome, pack_again
from hpcml.errors import JournalFull, journal_start_error
from hpcml.journal.journal_file import JournalFile
from hpcml.journal.lease import DriverIdentity, JobOver, Lease
from hpcml.journal.private_files import check_directory, create_secret, read_secret
from hpcml.journal.recorded_results import RecordedResults
from hpcml.journal.records import Record

__all__ = ["RunJournal"]

log = logging.getLogger("hpcml")


class RunJournal:
    """The journal of a run, as one session of it writes and reads it.

    Only the dispatcher's thread writes; keys are given out in any thread, and answers too.

    Parameters
    ----------
    directory
        The run's; new, or with what an earlier session has left.
    versions
        Of all that results depend on: a session with other versions cannot use what was recorded.
    required
        Whether a journal that cannot be written is an error for all tasks; else they go on without.

    Raises
    ------
    RunInUse
        Another driver writes to this run.
    HpcmlError
        What is there is not this user's own, or not a journal.
    """

    def __init__(
        self,
        directory: Path,
        me: DriverIdentity,
        versions: Mapping[str, str],
        job_over: JobOver,
        required: bool = False,
    ) -> None:
        check_directory(directory)
        self.me, self.versions, self._required = me, dict(versions), required
        self.other_versions: Mapping[str, str] = {}
        self._salt = digest(json.dumps(sorted(self.versions.items())).encode())[:8]
        self.sessions = self.used = 0
        self._results = RecordedResults(self._salt, self._body)
        self._classes = NewClasses()
        self._names: dict[str, int] = {}
        self._codes: dict[bytes, str] = {}  # digests of what workers say of their modules
        self._next_name = 0
        self._given: dict[str, int] = {}
        self.key_seconds: dict[str, float] = {}  # that the key of a call takes, by the name of the function
        self._giving = threading.Lock()  # protects _given: equal calls may be made in several threads
        self._empty = True
        self._files = [directory / name for name in ("journal", "key")]
        try:
            self._lease = Lease(directory, me, job_over)
        except OSError as error:
            raise journal_start_error(directory, error) from error
        try:
            secret = directory / "key"
            key = read_secret(secret) if secret.exists() else create_secret(secret)
            self._journal = JournalFile(directory / "journal", key, self._take)
        except BaseException as error:
            self._lease.release()
            if isinstance(error, OSError):
                raise journal_start_error(directory, error) from error
            raise
        self._empty = self._empty and not self._journal.damages
        self.session = self.sessions + 1

    def _take(self, record: Record) -> None:
        """Take in what an earlier session has recorded."""
        head = record.head
        self._empty = False
        if "session" in head:
            self.sessions = head["session"]
            if head["versions"] != self.versions:
                self.other_versions = head["versions"]
        elif "is" in head:
            self._names[head["is"]] = head["name"]
        if isinstance(head.get("name"), int):
            self._next_name = max(self._next_name, head["name"] + 1)
        self._results.take(record)

    @property
    def outdated(self) -> int:
        """Number of results of earlier sessions that cannot be used, for those had other versions."""
        return self._results.outdated

    @property
    def reusable(self) -> int:
        """Number of results of earlier sessions that can be used."""
        return self._results.reusable

    def _body(self, record: Record) -> bytes:
        return self._journal.read(record)

    def begin(self, **about: Any) -> None:
        """Record the beginning of this session."""
        me = {"host": self.me.host, "pid": self.me.pid, "job": self.me.job, "restart": self.me.restart}
        self._write({"session": self.session, "began": time.time(), **me, "versions": self.versions, **about})

    def number_keys(self, digests: Sequence[str]) -> list[str]:
        """Return a unique key for each call: a digest that comes again gets a number."""
        keys = []
        with self._giving:
            for digest in digests:
                number = self._given.get(digest, 0)
                self._given[digest] = number + 1
                keys.append(f"{digest}.{number}" if number else digest)
        return keys

    def note_classes(self, classes: Iterable[type]) -> None:
        """Take the classes of the script that a call holds: its result may be of them."""
        self._classes.meet(classes)

    def recorded_outcome(self, key: str, classes: Iterable[type] = ()) -> Outcome | None:
        """Return the outcome of a task that an earlier session has finished; once."""
        outcome = self._results.pop(key, classes)
        self.used += outcome is not None
        return outcome

    def finished(self, call: Call, outcome: Outcome, packed: bytes | memoryview) -> None:
        """Record a task that has ended, before its future has the result."""
        if call.keys:
            self._finished_chunk(call, outcome, packed)
            return
        head = {"task": f"{self._salt}:{call.key}" if call.key else "", **self._about(call, outcome)}
        if outcome.error is not None:
            head["error"] = type(outcome.error).__name__
        self._write(head, packed if outcome.error is None and call.key else b"")

    def _finished_chunk(self, chunk: Call, outcome: Outcome, packed: bytes | memoryview) -> None:
        """Record what a chunk has done; where one of its calls has failed, those before it and that one."""
        if outcome.error is None:
            self._write({"keys": chunk.keys, "salt": self._salt, **self._about(chunk, outcome)}, packed)
            return
        done = len(outcome.value)
        share = outcome.seconds / (done + 1)
        if done:
            before = outcome._replace(error=None, seconds=share * done)
            with contextlib.suppress(Exception):  # what the driver has unpickled and cannot pickle is not kept
                packed = pack_again(before)
                self._finished_chunk(chunk._replace(keys=chunk.keys[:done]), before, packed)
        failed = outcome._replace(value=None, seconds=share)
        self.finished(chunk._replace(key=chunk.keys[done], keys=()), failed, b"")

    def _about(self, call: Call, outcome: Outcome) -> dict[str, Any]:
        self._empty = False
        for number, note in self._classes.take():
            if self._results.classes.get(number) != note:
                self._results.classes[number] = note
                self._write({"class": number, "of": note})
        return {
            **self._code(outcome.modules),
            "name": self._number(call.name),
            "at": outcome.worker,
            "t": round(outcome.started, 3),
            "s": round(outcome.seconds, 6),
            "m": outcome.peak,
        }

    def _code(self, modules: bytes) -> dict[str, str]:
        """Return what a record says of the user's modules that its worker had imported."""
        if not modules:
            return {}
        name = self._codes.get(modules)
        if name is None:
            name = self._codes[modules] = digest(modules)[:16]
            if name not in self._results.modules:
                self._results.modules[name] = json.loads(modules)
                self._write({"code": name, "of": self._results.modules[name]})
        return {"c": name}

    def _number(self, name: str) -> int:
        if name not in self._names:
            self._names[name] = self._next_name
            self._next_name += 1
            self._write({"name": self._names[name], "is": name})
        return self._names[name]

    def failed(self, call: Call, error: str) -> None:
        """Record a call that has ended its worker too often, or ran too long."""
        self._write(
            {
                "task": call.key or "".join(call.keys[:1]),
                "name": self._number(call.name),
                "t": time.time(),
                "error": error,
            }
        )

    def died(self, worker: str, cause: str, names: Sequence[str]) -> None:
        """Record the death of a worker and what it was doing."""
        self._write({"death": worker, "t": time.time(), "cause": cause, "tasks": list(names)})

    def adopt_file(self, note: Path) -> None:
        """Take over a file that names this run; it goes with the run, when that has done nothing."""
        self._files.append(note)

    def _write(self, head: dict[str, Any], body: bytes | memoryview = b"") -> None:
        try:
            self._journal.append(head, body)
        except JournalFull as error:
            if self._required:
                raise
            log.warning("%s. The run goes on, but what ends from now on would be lost with it", error)

    def sync(self) -> None:
        """Return when all that has ended is on the disk."""
        self._journal.sync()

    def close(self, how: str) -> None:
        """Record the end of this session and let the run go; of a run that has done nothing, nothing is left."""
        try:
            self._write({"end": how, "t": time.time()})
        except JournalFull:
            pass  # it was told
        finally:
            self._journal.close()
            if self._empty:  # the lease comes last: until then nobody else begins here
                for file in self._files:
                    file.unlink(missing_ok=True)
                self._lease.remove()
            else:
                self._lease.release()
