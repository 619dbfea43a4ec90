"""One future for the calls of a joblib batch, each of which is sent, is retried and is recorded by itself."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from hpcml.cluster.dispatch.futures import resolve
from hpcml.errors import HpcmlError, TaskTimeout, WorkerDied

__all__ = ["BatchFuture", "BatchItem", "ChunkItems"]


class BatchFuture(Future[list[Any]]):
    """The results of all calls of a batch, in order; fails with what the first of them raises.

    Examples
    --------
    >>> from hpcml.cluster.joblib.futures import BatchFuture
    >>> batch = BatchFuture(2)
    >>> batch.items[1].set_result("b")
    >>> batch.items[0].set_result("a")
    >>> batch.result()
    ['a', 'b']
    """

    def __init__(self, length: int) -> None:
        super().__init__()
        self.items = [BatchItem(self, index) for index in range(length)]
        self._chunks: list[ChunkItems] = []
        self._results: list[Any] = [None] * length
        self._left = length
        self._counting = threading.Lock()  # protects _left: the dispatcher resolves calls, and `BatchItem` threads

    @property
    def parts(self) -> "list[BatchItem | ChunkItems]":
        """Future that the dispatcher may have in place of this one."""
        return [*self.items, *self._chunks]

    def chunk(self, items: "list[BatchItem]") -> "ChunkItems":
        """Return the future of a chunk of some of the calls."""
        self._chunks.append(ChunkItems(items))
        return self._chunks[-1]

    def put(self, index: int, result: Any) -> None:
        """Take the result of one call."""
        self.put_all([index], [result])

    def put_all(self, indices: Sequence[int], results: Sequence[Any]) -> None:
        """Take the results of several calls."""
        for index, result in zip(indices, results, strict=True):
            self._results[index] = result
        with self._counting:
            self._left -= len(results)
            complete = not self._left
        if complete:
            resolve(self, self._results)


class BatchItem:
    """The future of one call of a batch; see `hpcml.cluster.dispatch.futures.FutureLike`.

    ``fallback``, where there is one, gives the result of a call that has ended its worker too often.
    """

    __slots__ = ("batch", "fallback", "index", "taken")

    def __init__(self, batch: BatchFuture, index: int) -> None:
        self.batch = batch
        self.index = index
        self.taken = False
        self.fallback: Callable[[HpcmlError], Any] | None = None

    def set_running_or_notify_cancel(self) -> bool:
        """Return whether anybody still waits for the batch."""
        return not self.batch.done()

    def done(self) -> bool:
        """Tell whether the call has ended."""
        return self.taken

    def set_result(self, value: Any) -> None:
        """Take what the call returned."""
        self.taken = True
        self.batch.put(self.index, value)

    def set_exception(self, error: BaseException | None) -> None:
        """Take what the call raised."""
        self.taken = True
        if self.fallback is not None and isinstance(error, WorkerDied | TaskTimeout):
            # It may take a while, and the dispatcher has others to serve.
            threading.Thread(target=self._fall_back, args=(error, self.fallback), daemon=True).start()
        else:
            resolve(self.batch, error=error)

    def _fall_back(self, error: HpcmlError, fallback: Callable[[HpcmlError], Any]) -> None:
        try:
            self.batch.put(self.index, fallback(error))
        except Exception as failed:
            resolve(self.batch, error=failed)


class ChunkItems:
    """The future of a chunk of calls of one batch; see `hpcml.cluster.dispatch.futures.ChunkFuture`."""

    __slots__ = ("items", "whole")

    def __init__(self, items: list[BatchItem], whole: "ChunkItems | None" = None) -> None:
        self.items = items
        self.whole = whole or self

    def part(self, first: int, last: int) -> "ChunkItems":
        """Return the future of some of the calls."""
        return self if last - first == len(self.items) else ChunkItems(self.items[first:last], self.whole)

    def set_running_or_notify_cancel(self) -> bool:
        """Return whether anybody still waits for the batch."""
        return self.items[0].set_running_or_notify_cancel()

    def done(self) -> bool:
        """Tell whether the calls have ended."""
        return self.items[0].done()

    def set_result(self, values: list[Any]) -> None:
        """Take what the calls returned."""
        for item in self.items:
            item.taken = True
        self.items[0].batch.put_all([item.index for item in self.items], values)

    def set_exception(self, error: BaseException | None) -> None:
        """Take what one of them raised; joblib ends a Parallel with it."""
        self.items[0].set_exception(error)
