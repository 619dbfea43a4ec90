"""One future for the calls of a joblib batch, each of which travels, is retried and is recorded by itself."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from hpcml.errors import HpcmlError, TaskTimeout, WorkerDied
from hpcml.frames import settle

__all__ = ["BatchFuture", "BatchItem"]


class BatchFuture(Future[list[Any]]):
    """The results of all calls of a batch, in order; fails with what the first of them raises.

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
        self._counting = threading.Lock()  # protects _left: the dispatcher resolves calls, and `BatchItem` threads

    def put(self, index: int, result: Any) -> None:
        """Take the result of one call."""
        self._results[index] = result
        with self._counting:
            self._left -= 1
            complete = not self._left
        if complete:
            settle(self, self._results)


class BatchItem:
    """The future of one call of a batch; see `hpcml.frames.FutureLike`.

    ``fallback``, where there is one, gives the result of a call that has ended its worker too often.
    """

    __slots__ = ("_done", "batch", "fallback", "index")

    def __init__(self, batch: BatchFuture, index: int) -> None:
        self.batch, self.index = batch, index
        self._done = False
        self.fallback: Callable[[HpcmlError], Any] | None = None

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
        if self.fallback is not None and isinstance(error, WorkerDied | TaskTimeout):
            # It may take a while, and the dispatcher has others to serve.
            threading.Thread(target=self._fall_back, args=(error, self.fallback), daemon=True).start()
        else:
            settle(self.batch, error=error)

    def _fall_back(self, error: HpcmlError, fallback: Callable[[HpcmlError], Any]) -> None:
        try:
            self.batch.put(self.index, fallback(error))
        except Exception as failed:
            settle(self.batch, error=failed)
