"""The ranks of the user's own as workers, as the dispatcher sees them.

::

    dispatcher thread ── submit ──> frame to the least busy rank ──> thread of MPI
    thread of MPI ── outcomes ──> frame's future ──> dispatcher's inbox
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence, Set
from concurrent.futures import Future
from dataclasses import dataclass, field

from hpcml.data.staging.file_system import LocalStaging
from hpcml.data.staging.store import Staging
from hpcml.engines.mpi.exchange import Exchange
from hpcml.engines.mpi.packet import Kind, Packet
from hpcml.engines.mpi.rank_thread import RankThread
from hpcml.engines.mpi.serving import FREE
from hpcml.engines.worker import Worker
from hpcml.errors import EngineError, WorkerDied

__all__ = ["RankWorkers"]

log = logging.getLogger("hpcml")

END_SECONDS = 5.0  # for interrupted tasks to end


@dataclass(eq=False)
class _Rank:
    """A rank that serves, and the frames that it has not answered yet."""

    number: int
    worker: Worker
    last_sent: float = 0.0
    sent: int = 0  # frames, of which each has its number
    outstanding: deque[tuple[int, "Future[bytes]"]] = field(default_factory=deque)


class RankWorkers:
    """The other ranks; see `hpcml.engines.interface.Workers`.

    Their prints go where MPI sends those of its ranks, so ``on_print`` is never called.
    """

    def __init__(self, exchange: Exchange, workers: Sequence[Worker]) -> None:
        self.staging: Staging = LocalStaging([])
        self.on_change: Callable[[], None] = lambda: None
        self.on_broken: Callable[[BaseException], None] = lambda _: None
        self.on_print: Callable[[str, int, bytes, bool], None] = lambda *_: None
        self._ranks = [_Rank(number, worker) for number, worker in enumerate(workers)]
        self._lock = threading.Lock()  # protects the ranks' frames
        self._error: EngineError | None = None
        self._has_lost = False
        self._served: set[int] = set()  # ranks whose service has ended, by number
        self._all_served = threading.Event()
        self._thread = RankThread(exchange, self._take, self._fail, self._lose)

    @property
    def slots(self) -> int:
        """Number of ranks that serve."""
        return len(self._ranks)

    ready = slots

    @property
    def hosts(self) -> tuple[str, ...]:
        """Hosts of these ranks, each once."""
        return tuple(dict.fromkeys(rank.worker.host for rank in self._ranks))

    def _take(self, packet: Packet) -> None:
        if packet.kind == Kind.END:
            self._served.add(packet.slot)
            self._note_served()
            return
        with self._lock:
            rank = next((rank for rank in self._ranks if rank.number == packet.slot), None)
            if rank is None:  # it has been lost meanwhile, and its frames have failed
                return
            number = rank.outstanding[0][0] if rank.outstanding else 0
            if number != packet.generation:  # the result must not be that of another task
                raise EngineError(f"rank {rank.number + 1} has answered frame {packet.generation}, not {number}")
            _, future = rank.outstanding.popleft()
        future.set_result(bytes(packet.body))

    def _note_served(self) -> None:
        if self._served.issuperset(rank.number for rank in self._ranks):
            self._all_served.set()

    def _lose(self, number: int) -> None:
        """Go on without a rank of MPI: its first frame may have run, and runs again elsewhere."""
        with self._lock:
            (lost,) = [rank for rank in self._ranks if rank.number == number - 1]
            self._ranks = [rank for rank in self._ranks if rank is not lost]
            self._has_lost = True
            if not self._ranks:
                self._error = EngineError("all ranks that served have ended")
        self._note_served()
        log.warning("rank %d, %s, has ended: going on with %d others", number, lost.worker, self.slots)
        for place, (_, future) in enumerate(lost.outstanding):
            future.set_exception(WorkerDied(f"{lost.worker} ended", str(lost.worker), started=place == 0))
        if self._error is not None:
            self.on_broken(self._error)
        self.on_change()

    def _fail(self, error: Exception) -> None:
        with self._lock:
            self._error = EngineError(f"MPI has failed: {error}")
            left = [future for rank in self._ranks for _, future in rank.outstanding]
            for rank in self._ranks:
                rank.outstanding.clear()
        self._all_served.set()
        for future in left:
            future.set_exception(WorkerDied(str(self._error), started=False))
        self.on_broken(self._error)

    def submit(self, frame: bytes, avoid: Set[str] = frozenset()) -> "Future[bytes]":
        """Send a frame to the rank with the least to do; see `hpcml.engines.interface.Workers`."""
        future: Future[bytes] = Future()
        with self._lock:
            if self._error is None:
                rank = min(self._ranks, key=lambda rank: (len(rank.outstanding), rank.last_sent))
                rank.sent += 1
                rank.outstanding.append((rank.sent, future))
                rank.last_sent = time.monotonic()
                self._thread.send(rank.number + 1, Packet(Kind.FRAME, rank.number, rank.sent, frame))
                return future
        future.set_exception(WorkerDied(str(self._error), started=False))
        return future

    def frames_running(self) -> dict[str, "Future[bytes]"]:
        """Return the frame that each busy rank runs now."""
        with self._lock:
            return {str(rank.worker): rank.outstanding[0][1] for rank in self._ranks if rank.outstanding}

    def interrupt(self, future: "Future[bytes]") -> None:
        """Let the frame end by itself: the death of its rank would be the end of all."""

    def end_service(self) -> bool:
        """End the service of the other ranks; return whether the communicator is to be freed, as they do then."""
        for rank in self._ranks:
            self._thread.send(rank.number + 1, Packet(Kind.END))
        # The communicator of a rank that is lost cannot be freed by all.
        is_over = self._all_served.wait(END_SECONDS) and self._error is None and not self._has_lost
        if not self._all_served.is_set():
            busy = ", ".join(str(rank.number + 1) for rank in self._ranks if rank.number not in self._served)
            log.warning("ranks %s have not ended their tasks within %g s, and do so later", busy, END_SECONDS)
        for rank in self._ranks:
            self._thread.send(rank.number + 1, Packet(Kind.END, generation=FREE if is_over else 0))
        return self._thread.close() and is_over
