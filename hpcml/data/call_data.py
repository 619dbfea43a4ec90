"""Large data of one call: left out of its pickles, hashed once, staged before the call is sent."""

import contextlib
import weakref
from collections.abc import Callable, Hashable
from typing import Any

from hpcml.data.arrays import Array
from hpcml.data.digests import ContentDigests, digest
from hpcml.data.map_modes import is_copy_on_write
from hpcml.data.staging.store import DataReference, StagedContent, Store

__all__ = ["CallData"]

MIN_STAGED_NBYTES = 1 << 16  # less is not worth a file, however often it is sent


class CallData:
    """Content of one call: `Cluster.submit`, ``map``, or all batches of a ``joblib.Parallel``.

    The same memory above the limit is hashed once in a call. The next call hashes it again, for it may have
    changed. A smaller array is hashed from the second time on that it is sent, at a hundredth of the cost of
    sending it. Once the bytes sent for it exceed the limit, the array is staged as well, and tasks can write to it
    as to any small array.

    Parameters
    ----------
    limit
        Content of more bytes than this is staged; None: nothing is.
    private
        Tasks may write to arrays, each to a copy of its own.
    keep
        Content stays on the nodes while an array in the driver has it, for the next call. Without, maps of files
        are content too: see `maps_as_files`.

    Attributes
    ----------
    smallest
        Arrays of more bytes than this are staged when they are sent often.
    maps_as_files
        Writable maps of files are sent as the names of these files; else they are content, as in a broadcast.
    """

    def __init__(self, store: Store, limit: float | None, private: bool = False, keep: bool = True) -> None:
        self.limit = float("inf") if limit is None else limit
        self.smallest = self.limit if limit is None else min(limit, MIN_STAGED_NBYTES)
        self.digests = ContentDigests(self.limit)
        self.store = store
        self.maps_as_files = keep
        self._private = private
        self._keep = keep
        self._known: dict[Hashable, Callable[[], StagedContent | None]] = {}
        self._pending: dict[str, tuple[StagedContent, memoryview]] = {}
        self._seen: set[Hashable] = set()
        self._sent_nbytes: dict[str, int] = {}  # by digest
        self._frequent: dict[str, StagedContent] = {}  # stays until the end of the call

    def reference(self, key: Hashable, owner: Any, produce: Callable[[], memoryview]) -> DataReference:
        """Return a reference to content above the limit; `key` means the content while `owner` lives."""
        known = self._known.get(key)
        content = known() if known is not None else None
        if content is None or content.lost:
            memory = produce()
            name = self.digests.of(memory.nbytes, _address(key), owner, lambda: memory)
            content = self.add(memory, name)
            self._remember(key, owner, content)
        return DataReference(content, self._private or (isinstance(owner, Array) and is_copy_on_write(owner)))

    def reference_if_frequent(
        self, key: Hashable, owner: Any, produce: Callable[[], memoryview], sends: int
    ) -> DataReference | None:
        """Return a reference to smaller content, None where it has not been sent often; see `reference`.

        `sends` says how often the pickle is going to be sent.
        """
        if sends == 1 and key not in self._seen:
            self._seen.add(key)
            return None
        memory = produce()
        name = self.digests.known(memory.nbytes, _address(key)) or digest(memory)
        sent = self._sent_nbytes[name] = self._sent_nbytes.get(name, 0) + memory.nbytes * sends
        if sent <= self.limit and self.store.get(name) is None:
            return None
        # A copy, for it may be sent after the buffer is filled with something else.
        content = self._frequent[name] = self.add(memoryview(bytes(memory)), name)
        if self._keep:
            with contextlib.suppress(TypeError):
                self.store.keep(content, owner, key)
        return DataReference(content, True)

    def add(self, memory: memoryview, name: str) -> StagedContent:
        """Return the content whose digest is `name`; new content is pending until `stage`."""
        content = self.store.get(name)
        if content is None and name in self._pending:
            content = self._pending[name][0]
        if content is None:
            content = StagedContent(name, memory.nbytes)
            self._pending[name] = (content, memory)
        return content

    def _remember(self, key: Hashable, owner: Any, content: StagedContent) -> None:
        """Note that `key` means `content`, while its owner lives."""
        found = weakref.ref(content)
        try:
            living = weakref.ref(owner)
        except TypeError:  # bytes: only by holding them is it sure that the memory stays theirs
            if content.pinned is None:
                content.pinned = owner
                self._known[key] = found
            return
        self._known[key] = lambda: found() if living() is not None else None
        if self._keep:
            self.store.keep(content, owner, key)

    def pop_pending(self) -> list[tuple[StagedContent, memoryview]]:
        """Return the pending content; the caller stages it, or marks it as lost."""
        pending = self._pending
        self._pending = {}
        return list(pending.values())

    def stage(self) -> None:
        """Put the pending content on the nodes."""
        if self._pending:  # else there is no reason to wait for what another thread sends
            self.store.put(self.pop_pending())


def _address(key: Hashable) -> Hashable:
    """Return the key of memory, without its length."""
    return key[0] if isinstance(key, tuple) else key
