"""The driver's side of shared data: what is on the nodes, why, and until when.

Content is put on the nodes once, whichever object holds it, and stays there while somebody refers to the
`StagedContent`: a task on its way, a broadcast handle, or, by `Store.keep`, a living array with this content. What
leaves one pickle is one file: a forest of a thousand trees is not a thousand transfers.
"""

import os
import secrets
import threading
import time
import weakref
from collections.abc import Hashable, Sequence
from typing import Any, Protocol

from hpcml.data.digests import digest
from hpcml.data.staging.files import DataFile, DataPart

__all__ = ["DataReference", "Parts", "StagedContent", "Staging", "Store"]

ALIGNMENT = 64  # bytes; what numpy and Arrow align to

Parts = Sequence[memoryview]
"""The content of one file, in pieces."""


class Staging(Protocol):
    """Puts files where all workers can open them."""

    @property
    def distant(self) -> bool:
        """Tell whether there may be workers on other nodes than this process'."""

    def put(self, name: str, content: Parts) -> tuple[str, str]:
        """Return the path on every node, and where the file lies for all nodes, if it is one (see `DataFile`).

        Raises DataError when there is no room, or no way.
        """

    def put_again(self, path: str) -> None:
        """Send a file that is missing on some node once more. Raises DataError."""

    def remove(self, path: str) -> None:
        """Remove it everywhere; called at any moment, in any thread, it must not wait."""


class _StagedFile:
    """A file on the nodes; it goes when no entry refers to it any more."""

    def __init__(self, file: DataFile) -> None:
        self.file = file
        self.restored = 0.0


class StagedContent:
    """Content that is staged on the nodes, or about to be (``held`` is None)."""

    def __init__(self, name: str, nbytes: int) -> None:
        self.name = name
        self.nbytes = nbytes
        self.held: _StagedFile | None = None
        self.offset = 0
        self.lost = False
        self.pinned: Any = None  # an owner that cannot be watched

    @property
    def is_staged(self) -> bool:
        """Whether the content is on the nodes."""
        return self.held is not None


class DataReference:
    """A use of staged content by a task; it is sent as a `DataPart`: a file's name, and a stretch of the file."""

    def __init__(self, content: StagedContent, private: bool = False) -> None:
        self.content = content
        self.private = private

    def __reduce__(self) -> tuple[type[DataPart], tuple[DataFile, int, int, bool]]:
        assert self.content.held is not None
        return DataPart, (self.content.held.file, self.content.offset, self.content.nbytes, self.private)


class Store:
    """The content that is on the nodes.

    Parameters
    ----------
    staging
        How an engine puts files there.
    """

    def __init__(self, staging: Staging) -> None:
        self._staging = staging
        self._process = os.getpid()
        self.distant = staging.distant
        self._entries: weakref.WeakValueDictionary[str, StagedContent] = weakref.WeakValueDictionary()
        self._files: weakref.WeakValueDictionary[str, _StagedFile] = weakref.WeakValueDictionary()
        self._kept: dict[Hashable, tuple[Any, StagedContent]] = {}
        self._lock = threading.RLock()  # one staging at a time; re-entrant, for callbacks may come at any moment

    def get(self, name: str) -> StagedContent | None:
        """Return the entry of the content with this digest, if it is on the nodes."""
        return self._entries.get(name)

    def put(self, pending: Sequence[tuple[StagedContent, memoryview]]) -> None:
        """Put the contents of entries on the nodes, in one file, those left out that are there."""
        with self._lock:
            new = []
            for entry, content in pending:
                there = self._entries.get(entry.name)
                if there is None:
                    new.append((entry, content))
                else:
                    entry.held, entry.offset = there.held, there.offset
            try:
                if new:
                    self._put_file(new)
            except BaseException:
                for entry, _ in new:
                    entry.lost = True
                raise

    def _put_file(self, new: Sequence[tuple[StagedContent, memoryview]]) -> None:
        parts: list[memoryview] = []
        length = 0
        for entry, content in new:
            entry.offset = length
            padding = memoryview(bytes(-content.nbytes % ALIGNMENT if len(new) > 1 else 0))
            parts += [content, padding]
            length += content.nbytes + padding.nbytes
        name = new[0][0].name if len(new) == 1 else digest(*parts)
        # The name of the file is never used again, so that a late removal does no harm.
        path, shared = self._staging.put(f"{name}-{secrets.token_hex(4)}", parts)
        held = self._files[name] = _StagedFile(DataFile(path, length, name, shared))
        weakref.finalize(held, self._remove, path).atexit = False
        for entry, _ in new:
            entry.held = held
            self._entries[entry.name] = entry

    def _remove(self, path: str) -> None:
        if os.getpid() == self._process:  # a forked child has copies of the references, not of the files
            self._staging.remove(path)

    def restore(self, missing: str, since: float) -> None:
        """Send a file, named by its digest, once more, unless that was done after `since` (monotonic)."""
        with self._lock:
            held = self._files.get(missing)
            if held is None or held.restored >= since:
                return
            try:
                self._staging.put_again(held.file.path)
            except Exception:
                self._lose(held)
                raise
            held.restored = time.monotonic()

    def _lose(self, held: _StagedFile) -> None:
        """Forget a file that is gone, so that its content is sent anew when it comes up again."""
        for name, entry in list(self._entries.items()):
            if entry.held is held:
                entry.lost = True
                self._entries.pop(name, None)
        for key, (_, entry) in list(self._kept.items()):
            if entry.held is held:
                self._kept.pop(key, None)

    def keep(self, entry: StagedContent, owner: Any, key: Hashable) -> None:
        """Keep `entry` while `owner` lives, or until it has other content at `key`."""
        key = (id(owner), key)
        self._kept[key] = (weakref.ref(owner, lambda _: self._kept.pop(key, None)), entry)

    def clear(self) -> None:
        """Forget what was kept."""
        self._kept.clear()
