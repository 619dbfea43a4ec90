"""Digests of content: of bytes, and of the arrays of one call, each hashed once for its key and for staging."""

import weakref
from collections.abc import Callable, Hashable
from typing import Any

__all__ = ["ContentDigests", "digest"]

MIN_KEPT_NBYTES = 1 << 16  # the digest of less is needed once only


def digest(*parts: Any) -> str:
    """Return the digest of bytes-like objects, one after the other: 128 bits of XXH3, in hexadecimal.

    Examples
    --------
    >>> from hpcml.data.digests import digest
    >>> digest(b"hpcml")
    '75c3728425cdfdee6d4549003fb2d2a9'
    """
    import xxhash

    if len(parts) == 1:
        return str(xxhash.xxh3_128_hexdigest(parts[0]))
    state = xxhash.xxh3_128()
    for part in parts:
        state.update(part)
    return str(state.hexdigest())


class ContentDigests:
    """Digests of memory, by the `key` that means it while its `owner` lives.

    Content above `limit` is hashed once in a call, for it is sent once. Smaller content is sent with each task as
    it is at that time: its digest holds until the next `forget`, before the next task is packed.

    Examples
    --------
    >>> import numpy
    >>> from hpcml.data.digests import ContentDigests
    >>> digests, owner = ContentDigests(), numpy.zeros(1 << 14)
    >>> first = digests.of(owner.nbytes, "key", owner, lambda: owner)
    >>> digests.known(owner.nbytes, "key") == first
    True
    >>> digests.forget()
    >>> digests.known(owner.nbytes, "key")
    ''
    """

    def __init__(self, limit: float = float("inf")) -> None:
        self._limit = limit
        self._large: dict[Hashable, tuple[Callable[[], Any], str]] = {}
        self._small: dict[Hashable, tuple[Any, str]] = {}

    def of(self, nbytes: int, key: Hashable, owner: Any, produce: Callable[[], Any]) -> str:
        """Return the digest of the content that `produce` returns; see `hpcml.data.arrays.MakeReference`."""
        if nbytes < MIN_KEPT_NBYTES:
            return digest(produce())
        found = self.known(nbytes, key)
        if found:
            return found
        found = digest(produce())
        if nbytes <= self._limit:
            self._small[nbytes, key] = (owner, found)
            return found
        try:
            self._large[nbytes, key] = (weakref.ref(owner), found)
        except TypeError:  # of bytes there are no weak references
            self._small[nbytes, key] = (owner, found)
        return found

    def known(self, nbytes: int, key: Hashable) -> str:
        """Return the digest of content that was hashed before and cannot have changed, else ""."""
        living, found = self._large.get((nbytes, key), (None, ""))
        if living is not None:
            return found if living() is not None else ""
        return self._small.get((nbytes, key), (None, ""))[1]

    def forget(self) -> None:
        """Drop the digests of content up to the limit, which may change from now on."""
        if self._small:
            self._small = {}
