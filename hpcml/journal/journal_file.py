"""The journal of a run: an append-only file of authenticated records, which survives any cut.

One process writes. A record that a crash has cut off at the end is removed by the next writer; damage before
the end is passed over, and its bytes are put in ``journal.bad``. Nothing depends on O_APPEND, locks, times of
files or listings of directories, which network file systems do not keep.
"""

import contextlib
import json
import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hpcml.errors import HpcmlError, JournalFull, shut_down_error
from hpcml.journal.private_files import open_private
from hpcml.journal.records import HEADER_BYTES, Damage, JournalReader, Record, new_header, pack_record

__all__ = ["JournalFile"]

log = logging.getLogger("hpcml")

SYNC_SECONDS = 0.15
MAX_BACKLOG_BYTES = 64 << 20  # bytes that are held while the disk is full


class JournalFile:
    """Writes the journal of a run; a new one where there is none.

    What is appended is in the file when `append` returns, and on the disk 0.2 s later: it survives the end of
    this process at once, and then also the end of this computer. When the disk is full, `append` raises once;
    what it was given is held, and written when there is room again.

    Parameters
    ----------
    key
        The run's key.
    take
        Called with each record that is there already.

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
    ...     second = JournalFile(path, b"the key", take=lambda record: print(record.head))
    ...     second.close()
    {'kind': 'task'}
    """

    def __init__(self, path: Path, key: bytes, take: Callable[[Record], None] = lambda _: None) -> None:
        self.path = path
        self._key = key
        self._descriptor = open_private(path, os.O_RDWR | os.O_CREAT)
        self._lock = threading.Lock()  # protects the end of the file, the backlog, and the closing
        self._syncing = threading.Lock()  # protects the descriptor from being closed meanwhile
        self._backlog: deque[tuple[bytes, Any]] = deque()
        self._held = 0  # bytes in the backlog
        self._full = self._closed = self._gone = False
        self._unsaved: OSError | None = None  # the disk's error for appended records, not yet raised
        self._unsafe = False  # it said so the last time
        self._offset = 0
        self._dirty = threading.Event()
        self._ended = threading.Event()
        try:
            if os.fstat(self._descriptor).st_size < HEADER_BYTES:  # new, or cut off before its first record
                self._begin()
            self._reader = JournalReader(self._descriptor, key, path)
            self.damages = self._recover(take)
        except BaseException:
            os.close(self._descriptor)
            raise
        self._offset = self._reader.end
        self._syncer = threading.Thread(target=self._sync_often, name="hpcml-journal", daemon=True)
        self._syncer.start()

    def _begin(self) -> None:
        try:
            os.ftruncate(self._descriptor, 0)
            self._put(0, new_header(self._key))
            os.fsync(self._descriptor)
        except OSError as error:
            raise self._trouble(error) from error

    def _recover(self, take: Callable[[Record], None]) -> list[Damage]:
        """Pass over what was written; cut off a torn tail, and put other damage in a file beside."""
        damages = []
        for item in self._reader.items():
            if isinstance(item, Damage):
                damages.append(item)
            else:
                take(item)
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
            *(self.path, len(damages), places + (", …" if len(damages) > 5 else ""), bad),
        )
        with contextlib.suppress(OSError), open(open_private(bad, os.O_WRONLY | os.O_CREAT), "wb") as file:
            for damage in damages:
                file.write(os.pread(self._descriptor, damage.nbytes, damage.offset))

    def append(self, head: dict[str, Any], body: bytes | memoryview = b"") -> None:
        """Write one record.

        Raises
        ------
        JournalFull
            It could not be written, for the first time since the last that could.
        """
        line = json.dumps(head, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")
        with self._lock:
            if self._closed:
                return
            self._backlog.append((line, body))
            self._held += len(body)
            try:
                while self._backlog:
                    self._write(*self._backlog[0])
                    self._held -= len(self._backlog.popleft()[1])
            except OSError as error:
                self._shorten()
                if not self._full:
                    self._full = True
                    raise self._trouble(error) from error
                return
            self._full = False
            unsaved, self._unsaved = self._unsaved, None
        self._dirty.set()
        if unsaved is not None:
            raise self._trouble(unsaved) from unsaved

    def _shorten(self) -> None:
        """Give up the oldest results that are held, when they are too many; what tells of a session is kept."""
        while self._held > MAX_BACKLOG_BYTES:
            index = next(index for index, (_, body) in enumerate(self._backlog) if body)
            self._held -= len(self._backlog[index][1])
            del self._backlog[index]

    def _write(self, line: bytes, body: bytes | memoryview) -> None:
        """Write a record behind the last one; a part of it is taken back."""
        prefix = pack_record(self._key, self._reader.nonce, self._offset, line, body)
        whole: list[Any] = [prefix + body + b"\n"] if len(body) < 1 << 16 else [prefix, body, b"\n"]
        offset = self._offset
        try:
            for part in whole:
                offset = self._put(offset, part)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._offset)
            raise
        self._offset = offset

    def _put(self, offset: int, content: Any) -> int:
        left = memoryview(content)
        while left:
            written = os.pwrite(self._descriptor, left, offset)
            left, offset = left[written:], offset + written
        return offset

    def _trouble(self, error: OSError) -> JournalFull:
        return JournalFull(
            f"the journal {self.path} cannot take more than its {self._offset:,} bytes: {error.strerror}. What is "
            "in it is safe. Free some space there, or choose another place with Cluster(run_dir=…)"
        )

    def read(self, record: Record) -> bytes:
        """Return the body of a record that `take` was given.

        Raises
        ------
        HpcmlError
            It cannot be read any more, or is no longer what it was.
        """
        with self._lock:
            if self._gone:
                raise shut_down_error()
            try:
                return self._reader.body(record)
            except OSError as error:
                raise HpcmlError(f"{self.path} cannot be read: {error.strerror}") from error

    def sync(self) -> None:
        """Return when all that was appended is on the disk; what cannot be put there, the next `append` raises."""
        with self._syncing:
            if self._gone:
                return
            try:
                os.fdatasync(self._descriptor)
            except OSError as error:
                self._unsaved, self._unsafe = None if self._unsafe else error, True
            else:
                self._unsafe = False

    def _sync_often(self) -> None:
        while not self._ended.is_set():
            self._dirty.wait()
            self._dirty.clear()
            self._ended.wait(SYNC_SECONDS)
            self.sync()

    def close(self) -> None:
        """Put everything on the disk and end."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._ended.set()
        self._dirty.set()
        self._syncer.join()
        self.sync()
        if self._unsaved is not None:
            log.warning("%s", self._trouble(self._unsaved))
        with self._syncing, self._lock:
            self._gone = True
            os.close(self._descriptor)
