"""One future for the calls of a joblib batch, each of which travels, is retried and is recorded by itself."""

from concurrent.futures import Future
from typing import Any

from hpcml.frames import settle

__all__ = ["BatchFuture", "BatchItem"]


class BatchFuture(Future[list[Any]]):
    """The results of all calls of a batch, in order; fails with what the first of them raises.

    Its calls are resolved in one thread, the dispatcher's.

    Examples
    --------
    >>> from hpcml.gathered import BatchFuture
    >>> batch = BatchFuture(2)
    >>> batch.items[1].set_result("b")
    >>> batch.items[0].set_result("a")
    >>> batch.result()
    ['a', 'b']
    """

    def __init__(self, length: int) -> None:
        super().__init__()
        self.items = [BatchItem(self, index) for index in range(length)]
        self._results: list[Any] = [None] * length
        self._left = length

    def put(self, index: int, result: Any) -> None:
        """Take the result of one call."""
        self._results[index] = result
        self._left -= 1
        if not self._left:
            settle(self, self._results)


class BatchItem:
    """The future of one call of a batch; see `hpcml.frames.FutureLike`."""

    __slots__ = ("_done", "batch", "index")

    def __init__(self, batch: BatchFuture, index: int) -> None:
        self.batch, self.index = batch, index
        self._done = False

    def set_running_or_notify_cancel(self) -> bool:
        """Return whether anybody still waits for the batch."""
        return not self.batch.done()

    def done(self) -> bool:
        """Tell whether the call has ended."""
        return self._done

    def set_result(self, value: Any) -> None:
        """Take what the call returned."""
        self._done = True
        self.batch.put(self.index, value)

    def set_exception(self, error: BaseException | None) -> None:
        """Take what the call raised."""
        self._done = True
        settle(self.batch, error=error)
