"""Shared data in the driver: content that is on the nodes, and for how long.

Content is put on the nodes once, whichever object holds it. It stays there while its `StagedContent` is referred
to: by a task that has not ended, by a broadcast handle, or, through `Store.keep`, by an array in the driver with
this content. The large parts of one pickle are one file: a forest of a thousand trees is not a thousand transfers.
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

ALIGNMENT_NBYTES = 64  # as in numpy and Arrow

Parts = Sequence[memoryview]
"""The content of one file, in pieces."""


class Staging(Protocol):
    """Puts files where all workers can open them."""

    @property
    def distant(self) -> bool:
        """True where workers may be on other nodes than this process."""

    def put(self, name: str, content: Parts) -> tuple[str, str]:
        """Write a file, and return its path on every node, and that of the one file for all (see `DataFile`).

        Raises DataError when there is no space, or no way.
        """

    def put_again(self, path: str) -> None:
        """Send a file that is missing on some node once more. Raises DataError."""

    def remove(self, path: str) -> None:
        """Remove a file everywhere; called at any moment, in any thread, this must not wait."""


class _StagedFile:
    """A file on the nodes, removed when no content refers to it any more."""

    def __init__(self, file: DataFile) -> None:
        self.file = file
        self.restored = 0.0  # monotonic time at which it was sent once more


class StagedContent:
    """Content that is staged on the nodes, or about to be (``staged`` is None)."""

    def __init__(self, name: str, nbytes: int) -> None:
        self.name = name
        self.nbytes = nbytes
        self.staged: _StagedFile | None = None
        self.offset = 0
        self.lost = False
        self.pinned: Any = None  # an owner that cannot be watched

    @property
    def is_staged(self) -> bool:
        """True while the content is on the nodes."""
        return self.staged is not None


class DataReference:
    """A use of staged content by a task; it is sent as a `DataPart`: a file's name, and a stretch of the file."""

    def __init__(self, content: StagedContent, private: bool = False) -> None:
        self.content = content
        self.private = private

    def __reduce__(self) -> tuple[type[DataPart], tuple[DataFile, int, int, bool]]:
        assert self.content.staged is not None
        return DataPart, (self.content.staged.file, self.content.offset, self.content.nbytes, self.private)


class Store:
    """The content that is on the nodes.

    Parameters
    ----------
    staging
        Writes files to the nodes of an engine.
    """

    def __init__(self, staging: Staging) -> None:
        self._staging = staging
        self._process = os.getpid()
        self.distant = staging.distant
        self.put_nbytes = 0  # of all files, each counted once
        self._contents: weakref.WeakValueDictionary[str, StagedContent] = weakref.WeakValueDictionary()
        self._files: weakref.WeakValueDictionary[str, _StagedFile] = weakref.WeakValueDictionary()
        self._kept: dict[Hashable, tuple[Any, StagedContent]] = {}
        self._lock = threading.RLock()  # one staging at a time; re-entrant, for callbacks may come at any moment

    def get(self, name: str) -> StagedContent | None:
        """Return the content with this digest, if it is on the nodes."""
        return self._contents.get(name)

    def put(self, pending: Sequence[tuple[StagedContent, memoryview]]) -> None:
        """Put content on the nodes that is not there yet, in one file."""
        with self._lock:
            new = []
            for content, memory in pending:
                same = self._contents.get(content.name)
                if same is None:
                    new.append((content, memory))
                else:
                    content.staged = same.staged
                    content.offset = same.offset
            try:
                if new:
                    self._put_file(new)
            except BaseException:
                for content, _ in new:
                    content.lost = True
                raise

    def _put_file(self, new: Sequence[tuple[StagedContent, memoryview]]) -> None:
        parts: list[memoryview] = []
        length = 0
        for content, memory in new:
            content.offset = length
            padding = memoryview(bytes(-memory.nbytes % ALIGNMENT_NBYTES if len(new) > 1 else 0))
            parts += [memory, padding]
            length += memory.nbytes + padding.nbytes
        name = new[0][0].name if len(new) == 1 else digest(*parts)
        # The name of the file is never used again, so that a late removal does no harm.
        path, shared = self._staging.put(f"{name}-{secrets.token_hex(4)}", parts)
        self.put_nbytes += length
        staged = self._files[name] = _StagedFile(DataFile(path, length, name, shared))
        weakref.finalize(staged, self._remove, path).atexit = False
        for content, _ in new:
            content.staged = staged
            self._contents[content.name] = content

    def _remove(self, path: str) -> None:
        if os.getpid() == self._process:  # a forked child has copies of the references, not of the files
            self._staging.remove(path)

    def restore(self, missing: str, since: float) -> None:
        """Send a file, named by its digest, once more, unless that was done after `since` (monotonic)."""
        with self._lock:
            staged = self._files.get(missing)
            if staged is None or staged.restored >= since:
                return
            try:
                self._staging.put_again(staged.file.path)
            except Exception:
                self._lose(staged)
                raise
            staged.restored = time.monotonic()

    def _lose(self, staged: _StagedFile) -> None:
        """Drop a file that is gone, so that the next call with its content sends that anew."""
        for name, content in list(self._contents.items()):
            if content.staged is staged:
                content.lost = True
                self._contents.pop(name, None)
        for key, (_, content) in list(self._kept.items()):
            if content.staged is staged:
                self._kept.pop(key, None)

    def keep(self, content: StagedContent, owner: Any, key: Hashable) -> None:
        """Keep `content` on the nodes while `owner` lives, or until `owner` has other content at `key`."""
        key = (id(owner), key)
        self._kept[key] = (weakref.ref(owner, lambda _: self._kept.pop(key, None)), content)

    def clear(self) -> None:
        """Drop all that `keep` has kept."""
        self._kept.clear()
