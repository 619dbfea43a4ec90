"""The driver's side of shared data: what is on the nodes, why, and until when.

Content is put on the nodes once, whichever object holds it, and stays there while somebody refers to the
`Entry`: a task on its way, a broadcast handle, or, by `Store.keep`, a living array with this content.
"""

import contextlib
import os
import secrets
import threading
import time
import weakref
from collections.abc import Callable, Hashable
from typing import Any, Protocol

from hpcml.datafiles import DataFile, digest
from hpcml.payload import Packed, dumps_apart

__all__ = ["CallBook", "Entry", "Loan", "Staging", "Store"]

SMALLEST = 1 << 16  # bytes; less is not worth a file, however often it travels


class Staging(Protocol):
    """Puts content where all workers can open it."""

    def put(self, name: str, content: memoryview) -> tuple[str, str]:
        """Return the path on every node, and where the file lies for all nodes, if it is one (see `DataFile`).

        Raises DataError when there is no room, or no way.
        """

    def put_again(self, path: str) -> None:
        """Send a file that is missing on some node once more. Raises DataError."""

    def remove(self, path: str) -> None:
        """Remove it everywhere; called at any moment, in any thread, it must not wait."""


class Entry:
    """Content that is on the nodes; the file goes when nobody refers to this any more."""

    def __init__(self, file: DataFile) -> None:
        self.file = file
        self.restored = 0.0
        self.pinned: Any = None  # an owner that cannot be watched


class Loan:
    """A use of an entry by a task; what travels is the name of the file."""

    def __init__(self, entry: Entry, private: bool = False) -> None:
        self.entry, self.private = entry, private

    def __reduce__(self) -> Any:
        return DataFile, tuple(self.entry.file._replace(private=self.private))


class Store:
    """The content that is on the nodes.

    Parameters
    ----------
    staging
        How an engine puts content there.
    """

    def __init__(self, staging: Staging) -> None:
        self._staging, self._process = staging, os.getpid()
        self._entries: weakref.WeakValueDictionary[str, Entry] = weakref.WeakValueDictionary()
        self._kept: dict[Hashable, tuple[Any, Entry]] = {}
        self._lock = threading.RLock()  # one staging at a time; re-entrant, for callbacks may come at any moment

    def has(self, key: str) -> bool:
        """Tell whether content with this digest is on the nodes."""
        return key in self._entries

    def put(self, content: memoryview, key: str) -> Entry:
        """Put `content`, whose digest is `key`, on the nodes, unless it is there."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                name = f"{key}-{secrets.token_hex(4)}"  # never used again, so that a late removal does no harm
                path, shared = self._staging.put(name, content)
                entry = self._entries[key] = Entry(DataFile(path, content.nbytes, key, shared))
                weakref.finalize(entry, self._remove, path).atexit = False
            return entry

    def _remove(self, path: str) -> None:
        if os.getpid() == self._process:  # a forked child has copies of the references, not of the files
            self._staging.remove(path)

    def restore(self, missing: str, since: float) -> None:
        """Send content, named by its digest, once more, unless that was done after `since` (monotonic)."""
        with self._lock:
            entry = self._entries.get(missing)
            if entry is not None and entry.restored < since:
                self._staging.put_again(entry.file.path)
                entry.restored = time.monotonic()

    def keep(self, entry: Entry, owner: Any, key: Hashable) -> None:
        """Keep `entry` while `owner` lives, or until it has other content at `key`."""
        key = (id(owner), key)
        self._kept[key] = (weakref.ref(owner, lambda _: self._kept.pop(key, None)), entry)

    def clear(self) -> None:
        """Forget what was kept."""
        self._kept.clear()


class CallBook:
    """What one call has hashed: `Cluster.submit`, ``map``, or all batches of a ``joblib.Parallel``.

    The same memory above the limit is hashed once in a call. The next call hashes it again, for it may have
    changed. A smaller array is hashed from its second journey on, whenever it travels, at a hundredth of what
    that costs; when it has travelled so often that it comes to more than the limit, it is put on the nodes as
    well, and tasks can write to it as to any small array.

    Parameters
    ----------
    limit
        Content of more bytes than this goes to the store; None: nothing does.
    private
        Tasks may write to arrays, each to a copy of its own.
    keep
        Content stays on the nodes while an array in the driver has it, for the next call.
    """

    def __init__(self, store: Store, limit: float | None, private: bool = False, keep: bool = True) -> None:
        self.limit = float("inf") if limit is None else limit
        self.smallest = self.limit if limit is None else min(limit, SMALLEST)
        self.travels = 1  # how many times what is packed now is going to travel
        self.store, self._private, self._keep = store, private, keep
        self._taken: dict[Hashable, Callable[[], Entry | None]] = {}
        self._seen: set[Hashable] = set()
        self._travelled: dict[str, int] = {}  # bytes, by digest
        self._often: dict[str, Entry] = {}  # stays until the end of the call

    def take(self, key: Hashable, owner: Any, produce: Callable[[], memoryview]) -> Loan:
        """Return a loan of some content; see `hpcml.payload.Book`."""
        known = self._taken.get(key)
        entry = known() if known is not None else None
        if entry is None:
            content = produce()
            entry = self.store.put(content, digest(content))
            self._remember(key, owner, entry)
        return Loan(entry, self._private)

    def take_often(self, key: Hashable, owner: Any, produce: Callable[[], memoryview]) -> Loan | None:
        """Return a loan of content that has travelled often; see `hpcml.payload.Book`."""
        if self.travels == 1 and key not in self._seen:
            self._seen.add(key)
            return None
        content = produce()
        name = digest(content)
        travelled = self._travelled[name] = self._travelled.get(name, 0) + content.nbytes * self.travels
        if travelled <= self.limit and not self.store.has(name):
            return None
        entry = self.store.put(content, name)
        self._often[name] = entry
        if self._keep:
            with contextlib.suppress(TypeError):
                self.store.keep(entry, owner, key)
        return Loan(entry, True)

    def _remember(self, key: Hashable, owner: Any, entry: Entry) -> None:
        """Note that `key` means `entry`, for as long as that can be told."""
        there = weakref.ref(entry)
        try:
            living = weakref.ref(owner)
        except TypeError:  # bytes: only by holding them is it sure that the memory stays theirs
            if entry.pinned is None:
                entry.pinned = owner
                self._taken[key] = there
            return
        self._taken[key] = lambda: there() if living() is not None else None
        if self._keep:
            self.store.keep(entry, owner, key)

    def pack(self, thing: Any) -> Packed:
        """Pickle `thing` without its large parts."""
        return dumps_apart(thing, self)
