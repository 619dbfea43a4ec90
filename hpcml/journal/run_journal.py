"""Task records of a run: written to its journal, and looked up there when the run is resumed.

A session of a run begins with a record of its driver, its slots, and the versions of the libraries. Then each task
that ends has a record, whose body is the outcome as the worker packed it, and so has each death of a worker.

=========  ======================================================================================================
``session``   number of the session; ``began``, ``host``, ``pid``, ``job``, ``restart``, ``versions``, ``engine``,
           ``slots`` (of each node), ``cpus`` (allocated), ``cpus_per_slot``, ``memory`` (granted, MB)
``name``   number of a name; the name itself (``is``)
``task``   key of a task that ended, after a digest of the versions; ``name`` (its number), ``at`` (worker),
           ``t`` (start), ``s`` (seconds), ``m`` (peak memory of its worker, MB), ``error`` (its
           exception's class)
``keys``   keys of a chunk of tasks that ended, as ``task``; of all of them: ``name``, ``at``, ``t``, ``s``, ``m``
``code``   digest of the user's modules that a worker had imported, ``c`` of tasks; ``of``: these modules
``class``  number of a class of the script in pickles; ``of``: see `hpcml.data.classes.ClassNote`
``now``    time at which ``running`` has changed: of workers, the name's number of a task that has run for more
           than a second, and its start, or null; ``waiting`` calls; ``left`` (seconds that the job has)
``death``  worker that died; ``t``, ``cause``, ``tasks`` (the names of those that it had)
``end``    how the session ended; ``t``, ``sent`` (bytes that were sent with the tasks)
=========  ======================================================================================================

Times are seconds since the epoch, by the clock of the computer that measured them.
"""

import json
import logging
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from hpcml.data.digests import digest
from hpcml.data.envelope import Call
from hpcml.data.outcomes import Outcome
from hpcml.errors import JournalFull, journal_start_error
from hpcml.journal.journal_file import JournalFile
from hpcml.journal.lease import DriverIdentity, IsJobOver, Lease
from hpcml.journal.private_files import check_directory, create_secret, read_secret
from hpcml.journal.recorded_results import RecordedResults
from hpcml.journal.records import Record
from hpcml.journal.task_records import TaskRecords

__all__ = ["RunJournal"]

log = logging.getLogger("hpcml")


class RunJournal:
    """The journal of a run, as one session of the run writes and reads it.

    Only the dispatcher's thread writes. Any thread may number keys and look up results.

    Parameters
    ----------
    directory
        The run's directory: a new one, or that of earlier sessions.
    versions
        Versions of all that results depend on: results that were recorded with other versions are not reused.
    required
        Whether a journal that cannot be written is an error for all tasks; else tasks run without a record.

    Raises
    ------
    RunInUse
        Another driver writes to this run.
    HpcmlError
        A file in the directory is not this user's own, or not a journal.
    """

    def __init__(
        self,
        directory: Path,
        this_driver: DriverIdentity,
        versions: Mapping[str, str],
        is_job_over: IsJobOver,
        required: bool = False,
    ) -> None:
        check_directory(directory)
        self.this_driver = this_driver
        self.versions = dict(versions)
        self.other_versions: Mapping[str, str] = {}
        self.sessions = 0
        self.used = 0
        self.key_seconds: dict[str, float] = {}  # that the key of a call takes, by the name of the function
        self._required = required
        salt = digest(json.dumps(sorted(self.versions.items())).encode())[:8]
        self._recorded = RecordedResults(salt, self._read_body)
        self._records = TaskRecords(self._write, salt, self._recorded)
        self._uses: dict[str, int] = {}  # of each digest: equal calls are numbered
        self._numbering = threading.Lock()  # protects _uses: equal calls may be made in several threads
        self._empty = True
        self._files = [directory / name for name in ("journal", "key")]
        self._open(directory, is_job_over)
        self._empty = self._empty and not self._journal.damages
        self.session = self.sessions + 1

    def _open(self, directory: Path, is_job_over: IsJobOver) -> None:
        try:
            self._lease = Lease(directory, self.this_driver, is_job_over)
        except OSError as error:
            raise journal_start_error(directory, error) from error
        try:
            secret = directory / "key"
            key = read_secret(secret) if secret.exists() else create_secret(secret)
            self._journal = JournalFile(directory / "journal", key, self._restore)
        except BaseException as error:
            self._lease.release()
            if isinstance(error, OSError):
                raise journal_start_error(directory, error) from error
            raise

    def _restore(self, record: Record) -> None:
        """Note a record of an earlier session."""
        head = record.head
        self._empty = False
        if "session" in head:
            self.sessions = head["session"]
            if head["versions"] != self.versions:
                self.other_versions = head["versions"]
        self._records.restore(head)
        self._recorded.add(record)

    @property
    def outdated(self) -> int:
        """Number of results of earlier sessions that were recorded with other versions, and are not reused."""
        return self._recorded.outdated

    @property
    def reusable(self) -> int:
        """Number of results of earlier sessions that can be reused."""
        return self._recorded.reusable

    def _read_body(self, record: Record) -> bytes:
        return self._journal.read(record)

    def begin(self, **about: object) -> None:
        """Record the beginning of this session."""
        driver = self.this_driver
        identity = {"host": driver.host, "pid": driver.pid, "job": driver.job, "restart": driver.restart}
        head = {"session": self.session, "began": time.time(), **identity, "versions": self.versions, **about}
        self._write(head)

    def number_keys(self, digests: Sequence[str]) -> list[str]:
        """Return a unique key for each call: a repeated digest gets a sequence number."""
        keys = []
        with self._numbering:
            for digest in digests:
                number = self._uses.get(digest, 0)
                self._uses[digest] = number + 1
                keys.append(f"{digest}.{number}" if number else digest)
        return keys

    def note_classes(self, classes: Iterable[type]) -> None:
        """Note the classes of the script that a call refers to: its result may hold their objects."""
        self._records.note_classes(classes)

    def recorded_outcome(self, key: str, classes: Iterable[type] = ()) -> Outcome | None:
        """Return the outcome of a task that an earlier session has finished, once; None without one."""
        outcome = self._recorded.pop(key, classes)
        self.used += outcome is not None
        return outcome

    def finished(self, call: Call, outcome: Outcome, packed: bytes | memoryview) -> None:
        """Record a task that has ended, before its future has the result."""
        self._empty = False
        self._records.finished(call, outcome, packed)

    def expect(self, group: str, tasks: int) -> None:
        """Record how many tasks of a group this session has, recorded ones included."""
        self._write({"expect": group, "tasks": tasks})

    def failed(self, call: Call, error: str, worker: str, seconds: float) -> None:
        """Record a call that has ended its worker too often, or ran too long."""
        self._empty = False
        self._records.failed(call, error, worker, seconds)

    def running(self, tasks: Mapping[str, tuple[str, float] | None], waiting: int, left: float | None) -> None:
        """Record changes in what workers do; see `hpcml.data.envelope.TaskObserver`."""
        self._records.running(tasks, waiting, left)

    def died(self, worker: str, cause: str, names: Sequence[str]) -> None:
        """Record the death of a worker, and the names of the tasks that it had."""
        self._records.died(worker, cause, names)

    def adopt_file(self, note: Path) -> None:
        """Adopt the file that names this run; it is deleted with an empty run."""
        self._files.append(note)

    def _write(self, head: Mapping[str, object], body: bytes | memoryview = b"") -> None:
        try:
            self._journal.append(head, body)
        except JournalFull as error:
            if self._required:
                raise
            log.warning("%s. The run continues, but results from now on would be lost with it", error)

    def sync(self) -> None:
        """Return when the records of all tasks that have ended are on the disk."""
        self._journal.sync()

    def close(self, reason: str, sent_nbytes: int = 0) -> None:
        """Record the end of this session, and release the run; the files of an empty run are removed.

        Parameters
        ----------
        sent_nbytes
            Bytes that were sent with the session's tasks.
        """
        try:
            self._write({"end": reason, "t": time.time(), "sent": sent_nbytes})
        except JournalFull as error:
            log.warning("%s", error)
        finally:
            self._journal.close()
            if self._empty:
                # The lease comes last: until then no other driver begins here.
                for file in self._files:
                    file.unlink(missing_ok=True)
                self._lease.remove()
            else:
                self._lease.release()
