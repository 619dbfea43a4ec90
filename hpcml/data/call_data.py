"""Large data of one call: taken out of its pickles, hashed once, staged before the call is sent."""

import contextlib
import weakref
from collections.abc import Callable, Hashable
from typing import Any

from hpcml.data.arrays import Array
from hpcml.data.digests import ContentDigests, digest
from hpcml.data.map_modes import is_copy_on_write
from hpcml.data.out_of_band import Packer
from hpcml.data.packed import Packed
from hpcml.data.staging.store import DataReference, StagedContent, Store

__all__ = ["CallData"]

SMALLEST = 1 << 16  # bytes; less is not worth a file, however often it is sent


class CallData:
    """Digests of one call: `Cluster.submit`, ``map``, or all batches of a ``joblib.Parallel``.

    The same memory above the limit is hashed once in a call. The next call hashes it again, for it may have
    changed. A smaller array is hashed from the second time on that it is sent, at a hundredth of what
    that costs; when it has been sent so often that it comes to more than the limit, it is put on the nodes as
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
        self.digests = ContentDigests(self.limit)
        self.sends = 1  # how many times what is packed now is going to be sent
        self.store = store
        self._private = private
        self._keep = keep
        self.maps = keep  # what is broadcast is content
        self._taken: dict[Hashable, Callable[[], StagedContent | None]] = {}
        self._pending: dict[str, tuple[StagedContent, memoryview]] = {}
        self._seen: set[Hashable] = set()
        self._sent: dict[str, int] = {}  # bytes, by digest
        self._often: dict[str, StagedContent] = {}  # stays until the end of the call

    def take(self, key: Hashable, owner: Any, produce: Callable[[], memoryview]) -> DataReference:
        """Return a loan of some content; see `hpcml.data.out_of_band.ContentSink`."""
        known = self._taken.get(key)
        entry = known() if known is not None else None
        if entry is None or entry.lost:
            content = produce()
            name = self.digests.of(content.nbytes, _memory(key), owner, lambda: content)
            entry = self.enter(content, name)
            self._remember(key, owner, entry)
        return DataReference(entry, self._private or (isinstance(owner, Array) and is_copy_on_write(owner)))

    def take_often(self, key: Hashable, owner: Any, produce: Callable[[], memoryview]) -> DataReference | None:
        """Return a loan of content that has been sent often; see `hpcml.data.out_of_band.ContentSink`."""
        if self.sends == 1 and key not in self._seen:
            self._seen.add(key)
            return None
        content = produce()
        name = self.digests.known(content.nbytes, _memory(key)) or digest(content)
        sent = self._sent[name] = self._sent.get(name, 0) + content.nbytes * self.sends
        if sent <= self.limit and self.store.get(name) is None:
            return None
        # A copy, for it may be sent after the buffer is filled with something else.
        entry = self._often[name] = self.enter(memoryview(bytes(content)), name)
        if self._keep:
            with contextlib.suppress(TypeError):
                self.store.keep(entry, owner, key)
        return DataReference(entry, True)

    def enter(self, content: memoryview, name: str) -> StagedContent:
        """Return the entry of content whose digest is `name`; what is new waits until it is put on the nodes."""
        entry = self.store.get(name)
        if entry is None and name in self._pending:
            entry = self._pending[name][0]
        if entry is None:
            entry = StagedContent(name, content.nbytes)
            self._pending[name] = (entry, content)
        return entry

    def _remember(self, key: Hashable, owner: Any, entry: StagedContent) -> None:
        """Note that `key` means `entry`, while its owner lives."""
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

    def dump(self, thing: Any) -> Packed:
        """Pickle `thing` without its large parts, which wait until they are put on the nodes."""
        return Packer(self).pack(thing)

    def detach(self) -> list[tuple[StagedContent, memoryview]]:
        """Return what waits; it is the caller's to put on the nodes, or to fail with."""
        pending, self._pending = self._pending, {}
        return list(pending.values())

    def pack(self, thing: Any) -> Packed:
        """Pickle `thing` without its large parts, which are then on the nodes."""
        packed = self.dump(thing)
        self.stage()
        return packed

    def stage(self) -> None:
        """Put what waits on the nodes."""
        if self._pending:  # else there is no reason to wait for what another thread sends
            self.store.put(self.detach())

def _memory(key: Hashable) -> Hashable:
    """Return the key of memory, without its length."""
    return key[0] if isinstance(key, tuple) else key
