"""Handles of data that was put on the nodes by hand; see `hpcml.Cluster.broadcast`."""

import itertools
import os
import weakref
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, Self

from hpcml.data.call_data import CallData
from hpcml.data.digests import digest
from hpcml.data.loading import join
from hpcml.data.out_of_band import OutOfBand, Packer, reduces
from hpcml.data.pickling import NamingUnpicklable
from hpcml.data.staging.store import DataReference, Store
from hpcml.errors import HpcmlError

__all__ = ["Broadcast", "broadcast", "keep_only", "open_keys"]

LIMIT = 1 << 16  # bytes; smaller parts are sent with the handle

_numbers = itertools.count()
_opened: "weakref.WeakSet[Broadcast]" = weakref.WeakSet()  # in the driver
_values: dict[str, Any] = {}  # on a worker: values that took time to build


class Broadcast:
    """An object that is on every node; it is sent to tasks as a name.

    In the driver it also holds the object itself; what is changed there later does not change the nodes. On the
    nodes it is there until `close`, the end of a ``with`` block or ``del``; tasks that were submitted before that
    still find it.

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
        parts: tuple[Any, ...] | None = None,
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
        state = "closed" if self._load is _closed else "open"
        return f"<hpcml.Broadcast {self._key}, {state}: the object is its .value>"

    @property
    def value(self) -> Any:
        """The object; on a worker its arrays are read-only, and the rest must be treated so: it may be shared."""
        if self._cached is None:
            self._cached = (self._load(),)
        return self._cached[0]

    def close(self) -> None:
        """Free it on the nodes, once the tasks that were submitted with it are done."""
        self._parts = self._cached = None
        self._load = _closed
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
    """Put `value`, whose digest is `known`, on the nodes and return its handle."""
    data = CallData(store, LIMIT, keep=False)
    with NamingUnpicklable("what is to be broadcast", {"": value}):
        packed = Packer(data).pack(value)
    stream, holes, buffers = (packed, (), ()) if isinstance(packed, bytes) else packed
    where: bytes | DataReference = stream
    if len(stream) > LIMIT:
        where = DataReference(data.add(memoryview(stream), digest(stream)))
    data.stage()
    handle = Broadcast(f"{os.getpid()}-{next(_numbers)}", lambda: value, (where, holes, buffers), store, known)
    _opened.add(handle)
    return handle


def _closed() -> Any:
    raise HpcmlError("this broadcast handle is closed: use it inside its `with` block, or before close() and del")


def _reduce(handle: Broadcast, out_of_band: OutOfBand) -> tuple[Any, ...]:
    if handle._parts is None:
        _closed()
    if handle._store is not out_of_band.data.store:
        raise HpcmlError(
            "this broadcast handle belongs to another Cluster: call broadcast() of the one it goes to"
        )
    assert handle._parts is not None
    placeholder = out_of_band.placeholder
    where, holes, buffers = handle._parts
    stream = placeholder(where) if isinstance(where, DataReference) else where
    return _arrive, (
        handle._key,
        stream,
        [(offset, placeholder(loan)) for offset, loan in holes],
        [placeholder(loan) for loan in buffers],
    )


reduces[Broadcast] = _reduce


def _arrive(key: str, stream: Any, holes: Sequence[tuple[int, Any]], buffers: Sequence[Any]) -> Broadcast:
    """Return the handle that a worker sees; what is more than arrays is built once for all its tasks."""
    costly = bool(holes) or not isinstance(stream, bytes)

    def _value() -> Any:
        value = _values[key] if key in _values else join(stream, holes, buffers)
        if costly:
            _values[key] = value
        return value

    return Broadcast(key, _value)


def open_keys() -> tuple[str, ...]:
    """Return the keys of the handles that are open in this process."""
    return tuple(handle._key for handle in list(_opened))


def keep_only(keys: Iterable[str]) -> None:
    """On a worker, forget the values of handles that are closed."""
    for key in set(_values).difference(keys):
        del _values[key]
