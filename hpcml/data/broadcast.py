"""Handles of broadcast data: objects that a script puts on the nodes itself; see `hpcml.Cluster.broadcast`."""

import itertools
import os
import weakref
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self

from hpcml.data.call_data import CallData
from hpcml.data.digests import digest
from hpcml.data.loading import loads_with_holes
from hpcml.data.out_of_band import OutOfBand, Packer, reducers
from hpcml.data.packed import LargePart
from hpcml.data.pickling import raise_unpicklable
from hpcml.data.staging.store import DataReference, Store
from hpcml.errors import HpcmlError

__all__ = ["Broadcast", "broadcast", "digests_of", "keep_only", "open_keys"]

MIN_STAGED_NBYTES = 1 << 16  # smaller parts are sent with the handle

_numbers = itertools.count()
_opened: "weakref.WeakSet[Broadcast]" = weakref.WeakSet()  # in the driver
_values: dict[str, Any] = {}  # on a worker: values that took time to build


class _Parts(NamedTuple):
    """Pickle of a broadcast object, whose large parts are on the nodes; so is the pickle, when it is large."""

    stream: bytes | DataReference
    holes: tuple[tuple[int, LargePart], ...]
    buffers: tuple[LargePart, ...]


class Broadcast:
    """An object that is on every node; its handle is sent to tasks as a name.

    In the driver the handle also refers to the object itself; a later change of that object does not change the
    nodes. On the nodes the object stays until `close`, the end of a ``with`` block or ``del``; tasks that were
    submitted before that still find it.

    Examples
    --------
    >>> import hpcml, numpy
    >>> def total(table, factor):
    ...     return int(table.value.sum()) * factor
    >>> with hpcml.Cluster(engine="local", slots_per_node=2, progress=False) as cluster:
    ...     with cluster.broadcast(numpy.arange(1_000_000)) as table:
    ...         list(cluster.map(total, [table] * 3, [1, 10, 100]))
    [499999500000, 4999995000000, 49999950000000]
    """

    def __init__(
        self,
        key: str,
        load: Callable[[], Any],
        parts: _Parts | None = None,
        store: Store | None = None,
        digest: str = "",
    ) -> None:
        self._key = key
        self._load = load
        self._parts = parts
        self._store = store
        self._digest = digest
        self._cached: tuple[Any] | None = None

    def __repr__(self) -> str:
        state = "closed" if self._load is _raise_closed else "open"
        return f"<hpcml.Broadcast {self._key}, {state}: the object is its .value>"

    @property
    def value(self) -> Any:
        """The object; on a worker its arrays are read-only, and the rest must be treated so: it may be shared."""
        if self._cached is None:
            self._cached = (self._load(),)
        return self._cached[0]

    def close(self) -> None:
        """Remove the object from the nodes, once the tasks that were submitted with it are done."""
        self._parts = None
        self._cached = None
        self._load = _raise_closed
        _opened.discard(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> Any:
        raise TypeError(
            "a broadcast handle is sent to tasks of its Cluster, and nowhere else; did you mean its .value?"
        )


def broadcast(value: Any, store: Store, known: str = "") -> Broadcast:
    """Put `value` on the nodes and return its handle; `known` is the digest of `value`, "" where it has none."""
    data = CallData(store, MIN_STAGED_NBYTES, keep=False)
    try:
        packed = Packer(data).pack(value)
    except Exception as error:
        raise_unpicklable(error, "what is to be broadcast", {"": value})
    stream, holes, buffers = (packed, (), ()) if isinstance(packed, bytes) else packed
    parts = _Parts(stream, holes, buffers)
    if len(stream) > MIN_STAGED_NBYTES:
        parts = parts._replace(stream=DataReference(data.add(memoryview(stream), digest(stream))))
    data.stage()
    handle = Broadcast(f"{os.getpid()}-{next(_numbers)}", lambda: value, parts, store, known)
    _opened.add(handle)
    return handle


def digests_of(handle: Broadcast) -> tuple[Any, ...]:
    """Return the digest of a broadcast object, else the small parts of its pickle and the digests of the others.

    Raises
    ------
    TypeError
        The handle is closed.
    """
    if handle._parts is None:
        raise TypeError("the broadcast handle is closed")
    if handle._digest:
        return (handle._digest,)
    stream, holes, buffers = handle._parts
    references = [part for part in (*(part for _, part in holes), *buffers) if isinstance(part, DataReference)]
    return (
        stream.content.name if isinstance(stream, DataReference) else stream,
        [offset for offset, _ in holes],
        [reference.content.name for reference in references],
    )


def _raise_closed() -> Any:
    raise HpcmlError("this broadcast handle is closed: use it inside its `with` block, or before close() and del")


def _reduce(handle: Broadcast, out_of_band: OutOfBand) -> tuple[Any, ...]:
    """Return how the pickle of a call builds the handle on a worker."""
    if handle._parts is None:
        _raise_closed()
    if handle._store is not out_of_band.data.store:
        raise HpcmlError(
            "this broadcast handle belongs to another Cluster: call broadcast() of the one it goes to"
        )
    assert handle._parts is not None
    placeholder = out_of_band.placeholder
    stream, holes, buffers = handle._parts
    return _build_handle, (
        handle._key,
        placeholder(stream) if isinstance(stream, DataReference) else stream,
        [(offset, placeholder(part)) for offset, part in holes],
        [placeholder(part) for part in buffers],
    )


reducers[Broadcast] = _reduce


def _build_handle(key: str, stream: Any, holes: Sequence[tuple[int, Any]], buffers: Sequence[Any]) -> Broadcast:
    """Return the handle on a worker; an object that takes time to build is built once for all tasks there.

    Arrays alone take none: they are maps of files.
    """
    costly = bool(holes) or not isinstance(stream, bytes)

    def _value() -> Any:
        value = _values[key] if key in _values else loads_with_holes(stream, holes, buffers)
        if costly:
            _values[key] = value
        return value

    return Broadcast(key, _value)


def open_keys() -> tuple[str, ...]:
    """Return the keys of the handles that are open in this process."""
    return tuple(handle._key for handle in list(_opened))


def keep_only(keys: Iterable[str]) -> None:
    """On a worker, drop the values of all handles but those with these keys: the others are closed."""
    for key in set(_values).difference(keys):
        del _values[key]
