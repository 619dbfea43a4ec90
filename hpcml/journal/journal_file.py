"""File of a run's journal: authenticated records are appended to it, and it can be cut off anywhere.

One process writes. A record that a crash has cut off at the end is removed by the next writer. Damage before the
end is skipped, and its bytes are copied to ``journal.bad``. Nothing depends on O_APPEND, locks, times of files or
listings of directories, for network file systems do not guarantee these.
"""

import contextlib
import json
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

from hpcml.errors import HpcmlError, JournalFull, shut_down_error
from hpcml.journal.private_files import open_private
from hpcml.journal.records import HEADER_BYTES, Damage, JournalReader, Record, new_header, pack_record

__all__ = ["JournalFile"]

log = logging.getLogger("hpcml")

SYNC_SECONDS = 0.15  # between two syncs: a computer that fails loses the results of this time
MAX_BACKLOG_BYTES = 64 << 20  # of results that are kept in memory while the disk is full
JOINED_BYTES = 1 << 16  # a shorter body is written in one call with its head; a longer body is not copied


class JournalFile:
    """Writer of a run's journal; makes the file where there is none.

    A record is in the file when `append` returns, and on the disk 0.2 s later: it survives the end of this process
    at once, and the end of this computer after these 0.2 s. When the disk is full, `append` raises once. Records
    are then kept in memory, and written when there is room again.

    Parameters
    ----------
    key
        The run's key.
    on_record
        Called with each record that earlier sessions have written.

    Raises
    ------
    HpcmlError
        The file is no journal of this run; see `hpcml.journal.records.JournalReader`.
    JournalFull
        There is no room for a new journal.

    Examples
    --------
    >>> import tempfile
    >>> from hpcml.journal.journal_file import JournalFile
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     path = Path(directory, "journal")
    ...     first = JournalFile(path, b"the key")
    ...     first.append({"kind": "task"}, b"the result")
    ...     first.close()
    ...     second = JournalFile(path, b"the key", on_record=lambda record: print(record.head))
    ...     second.close()
    {'kind': 'task'}
    """

    def __init__(self, path: Path, key: bytes, on_record: Callable[[Record], None] = lambda _: None) -> None:
        self.path = path
        self._key = key
        self._descriptor = open_private(path, os.O_RDWR | os.O_CREAT)
        self._lock = threading.Lock()  # protects the end of the file, the backlog, and the closing
        self._syncing = threading.Lock()  # protects the descriptor from being closed during a sync
        self._backlog: deque[tuple[bytes, bytes | memoryview]] = deque()
        self._backlog_bytes = 0
        self._is_full = False
        self._is_closed = False  # for `append`
        self._is_descriptor_closed = False  # for `read` and `sync`
        self._sync_error: OSError | None = None  # of records that were appended, not yet raised
        self._last_sync_failed = False
        self._offset = 0
        self._needs_sync = threading.Event()
        self._ended = threading.Event()
        try:
            if os.fstat(self._descriptor).st_size < HEADER_BYTES:
                self._write_header()  # of a new file, or of a file that was cut off before its first record
            self._reader = JournalReader(self._descriptor, key, path)
            self.damages = self._recover(on_record)
        except BaseException:
            os.close(self._descriptor)
            raise
        self._offset = self._reader.end
        self._syncer = threading.Thread(target=self._sync_often, name="hpcml-journal", daemon=True)
        self._syncer.start()

    def _write_header(self) -> None:
        try:
            os.ftruncate(self._descriptor, 0)
            self._write_at(0, new_header(self._key))
            os.fsync(self._descriptor)
        except OSError as error:
            raise self._full_error(error) from error

    def _recover(self, on_record: Callable[[Record], None]) -> list[Damage]:
        """Read the records of earlier sessions; cut off a torn tail, and copy other damage to a file beside."""
        damages = []
        for item in self._reader.items():
            if isinstance(item, Damage):
                damages.append(item)
            else:
                on_record(item)
        lost = [damage for damage in damages if not damage.torn]
        if lost:
            self._quarantine(lost)
        if damages and damages[-1].tail:
            os.ftruncate(self._descriptor, damages[-1].offset)
        return damages

    def _quarantine(self, damages: list[Damage]) -> None:
        bad = self.path.with_name(f"{self.path.name}.bad")
        places = ", ".join(f"{damage.nbytes} bytes at {damage.offset}" for damage in damages[:5])
        log.warning(
            "%s is damaged in %d places (%s): the tasks recorded there run again; their bytes are in %s",
            self.path,
            len(damages),
            places + (", …" if len(damages) > 5 else ""),
            bad,
        )
        with contextlib.suppress(OSError), open(open_private(bad, os.O_WRONLY | os.O_CREAT), "wb") as file:
            for damage in damages:
                file.write(os.pread(self._descriptor, damage.nbytes, damage.offset))

    def append(self, head: Mapping[str, object], body: bytes | memoryview = b"") -> None:
        """Write one record.

        Raises
        ------
        JournalFull
            The record could not be written; raised once, until a record can be written again.
        """
        line = json.dumps(head, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")
        with self._lock:
            if self._is_closed:
                return
            self._backlog.append((line, body))
            self._backlog_bytes += len(body)
            try:
                while self._backlog:
                    self._write(*self._backlog[0])
                    self._backlog_bytes -= len(self._backlog.popleft()[1])
            except OSError as error:
                self._trim_backlog()
                if not self._is_full:
                    self._is_full = True
                    raise self._full_error(error) from error
                return
            self._is_full = False
            sync_error, self._sync_error = self._sync_error, None
        self._needs_sync.set()
        if sync_error is not None:
            raise self._full_error(sync_error) from sync_error

    def _trim_backlog(self) -> None:
        """Drop the oldest results of a backlog that is too long; records without a result are kept."""
        while self._backlog_bytes > MAX_BACKLOG_BYTES:
            index = next(index for index, (_, body) in enumerate(self._backlog) if body)
            self._backlog_bytes -= len(self._backlog[index][1])
            del self._backlog[index]

    def _write(self, line: bytes, body: bytes | memoryview) -> None:
        """Write a record behind the last one; remove it again if it cannot be written whole."""
        prefix = pack_record(self._key, self._reader.nonce, self._offset, line, body)
        parts = [prefix + body + b"\n"] if len(body) < JOINED_BYTES else [prefix, body, b"\n"]
        offset = self._offset
        try:
            for part in parts:
                offset = self._write_at(offset, part)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._offset)
            raise
        self._offset = offset

    def _write_at(self, offset: int, content: bytes | memoryview) -> int:
        left = memoryview(content)
        while left:
            written = os.pwrite(self._descriptor, left, offset)
            left = left[written:]
            offset += written
        return offset

    def _full_error(self, error: OSError) -> JournalFull:
        return JournalFull(
            f"the journal {self.path} cannot take more than its {self._offset:,} bytes: {error.strerror}. What is "
            "in it is safe. Free some space there, or choose another place with Cluster(run_dir=…)"
        )

    def read(self, record: Record) -> bytes:
        """Return the body of a record that `on_record` was given.

        Raises
        ------
        HpcmlError
            The record cannot be read any more, or has changed.
        """
        with self._lock:
            if self._is_descriptor_closed:
                raise shut_down_error()
            try:
                return self._reader.body(record)
            except OSError as error:
                raise HpcmlError(f"{self.path} cannot be read: {error.strerror}") from error

    def sync(self) -> None:
        """Return when all records are on the disk; the disk's error, if any, is raised by the next `append`."""
        with self._syncing:
            if self._is_descriptor_closed:
                return
            try:
                os.fdatasync(self._descriptor)
            except OSError as error:
                self._sync_error = None if self._last_sync_failed else error
                self._last_sync_failed = True
            else:
                self._last_sync_failed = False

    def _sync_often(self) -> None:
        while not self._ended.is_set():
            self._needs_sync.wait()
            self._needs_sync.clear()
            self._ended.wait(SYNC_SECONDS)
            self.sync()

    def close(self) -> None:
        """Put all records on the disk, and close the file."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
        self._ended.set()
        self._needs_sync.set()
        self._syncer.join()
        self.sync()
        if self._sync_error is not None:
            log.warning("%s", self._full_error(self._sync_error))
        with self._syncing, self._lock:
            self._is_descriptor_closed = True
            os.close(self._descriptor)
