"""One future for the calls of a joblib batch, each of which is sent, is retried and is recorded by itself."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from hpcml.cluster.dispatch.futures import CallFuture, ChunkFuture, resolve
from hpcml.errors import HpcmlError, TaskTimeout, WorkerDied

__all__ = ["BatchFuture"]


class BatchFuture(Future[list[Any]]):
    """The results of all calls of a batch, in order; fails with the error of the first that fails.

    It is the `hpcml.cluster.dispatch.futures.Results` of its calls.

    Examples
    --------
    >>> from hpcml.cluster.joblib.futures import BatchFuture
    >>> batch = BatchFuture(2)
    >>> batch.call(1).set_result("b")
    >>> batch.call(0).set_result("a")
    >>> batch.result()
    ['a', 'b']
    """

    def __init__(self, length: int) -> None:
        super().__init__()
        self.parts: list[CallFuture | ChunkFuture] = []
        self.fallbacks: dict[int, Callable[[HpcmlError], Any]] = {}
        self._results: list[Any] = [None] * length
        self._ended = [False] * length
        self._left = length
        self._counting = threading.Lock()  # protects _left: the dispatcher resolves calls, and `fail` has threads

    def call(self, place: int) -> CallFuture:
        """Return the future of one call, for the dispatcher."""
        self.parts.append(future := CallFuture(self, (place,)))
        return future

    def chunk(self, places: Sequence[int]) -> ChunkFuture:
        """Return the future of a chunk of some of the calls, for the dispatcher."""
        self.parts.append(future := ChunkFuture(self, places))
        return future

    def is_wanted(self) -> bool:
        """Return whether joblib still waits for the batch."""
        return not self.done()

    def has(self, place: int) -> bool:
        """Return whether the call at `place` has ended."""
        return self._ended[place]

    def put(self, places: Sequence[int], values: Sequence[Any]) -> None:
        """Take the values that calls have returned."""
        for place, value in zip(places, values, strict=True):
            self._ended[place] = True
            self._results[place] = value
        with self._counting:
            self._left -= len(values)
            complete = not self._left
        if complete:
            resolve(self, self._results)

    def fail(self, places: Sequence[int], error: BaseException | None) -> None:
        """Take the error of a call; joblib ends a Parallel with it.

        A call that has ended its worker too often, or ran too long, has the result that its function in
        `fallbacks` gives for the error. That may take a while: it has a thread, and the dispatcher serves others.
        """
        lost = error if isinstance(error, WorkerDied | TaskTimeout) else None
        for place in places:
            self._ended[place] = True
            if lost is not None and place in self.fallbacks:
                threading.Thread(target=self._fall_back, args=(place, lost), daemon=True).start()
            else:
                resolve(self, error=error)

    def _fall_back(self, place: int, error: HpcmlError) -> None:
        try:
            self.put((place,), (self.fallbacks[place](error),))
        except Exception as failed:
            resolve(self, error=failed)
