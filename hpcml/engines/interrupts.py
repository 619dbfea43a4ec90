"""Interrupts of frames: a worker is killed as soon as it runs a frame that is to end."""

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import Generic, Protocol, TypeVar

__all__ = ["BusyWorker", "Interrupts"]


class BusyWorker(Protocol):
    """State of a worker: its frames, in the order in which it runs them, and whether it is being killed."""

    killed: bool

    @property
    def outstanding(self) -> Sequence["Future[bytes]"]:
        """Futures of the frames that the worker has not answered; it runs the first."""


AnyWorker = TypeVar("AnyWorker", bound=BusyWorker)


class Interrupts(Generic[AnyWorker]):
    """Frames to interrupt: one that waits is interrupted when its turn comes, after the frames before it.

    Parameters
    ----------
    lock
        The engine's lock, which protects its workers' frames.
    workers
        Returns the workers that run frames; called under the lock.
    kill
        Kills a worker, which is marked as ``killed``; called without the lock, once for each worker.
    """

    def __init__(
        self,
        lock: threading.Lock,
        workers: Callable[[], Iterable[AnyWorker]],
        kill: Callable[[AnyWorker], None],
    ) -> None:
        self._lock = lock
        self._workers = workers
        self._kill = kill
        self._unwanted: set[Future[bytes]] = set()  # under the lock

    def interrupt(self, future: "Future[bytes]") -> None:
        """Kill the worker that runs a frame, now or when the frame's turn comes."""
        with self._lock:
            self._unwanted.add(future)
        self.kill_due()

    def discard(self, futures: Iterable["Future[bytes]"]) -> None:
        """Drop frames that have ended; the caller holds the lock."""
        self._unwanted.difference_update(futures)

    def kill_due(self) -> None:
        """Kill the workers that run a frame to interrupt; called when a worker has come to its next frame."""
        if not self._unwanted:
            return
        with self._lock:
            due = [
                worker
                for worker in self._workers()
                if not worker.killed and worker.outstanding and worker.outstanding[0] in self._unwanted
            ]
            for worker in due:
                worker.killed = True
        for worker in due:
            self._kill(worker)
