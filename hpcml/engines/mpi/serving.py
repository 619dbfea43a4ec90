"""Service of a rank of the user's own: it runs the frames of rank 0 until that closes its Cluster.

::

    thread of the script ── runs a frame ──> outcomes ──> thread of MPI ──> rank 0
    thread of MPI ── frames, the end ──> queue ──> thread of the script

At the end, a task that still runs is interrupted as by Ctrl-C.
"""

import contextlib
import queue
import random
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

from hpcml.engines.mpi.exchange import Exchange
from hpcml.engines.mpi.packet import Kind, Packet
from hpcml.engines.mpi.rank_thread import RankThread
from hpcml.engines.worker import Worker, become_worker, leave_worker, run_frame
from hpcml.errors import EngineError

__all__ = ["FREE", "serve"]

FREE = 1  # generation of the last packet, where all ranks free the communicator
RELEASE_SECONDS = 20.0  # until rank 0 has the ends of all ranks
INTERRUPT_SECONDS = 0.2  # between two interrupts of a task


class _Service:
    """Frames that wait, and the end of the service."""

    def __init__(self, exchange: Exchange, number: int) -> None:
        self._number = number
        self._frames: queue.SimpleQueue[Packet | None] = queue.SimpleQueue()
        self._lock = threading.Lock()  # protects `_is_running`: an interrupt must not come after a task
        self._is_running = False
        self._is_over = threading.Event()
        self._is_released = threading.Event()
        self._can_be_interrupted = threading.current_thread() is threading.main_thread()
        self.is_freed = False
        self.error: Exception | None = None  # of MPI
        self._thread = RankThread(exchange, self._take, self._fail, self._note_lost)

    def _take(self, packet: Packet) -> None:
        if packet.kind == Kind.FRAME:
            self._frames.put(packet)
        elif packet.kind == Kind.END and not self._is_over.is_set():
            self._end()
        elif packet.kind == Kind.END:
            self.is_freed = packet.generation == FREE
            self._is_released.set()

    def _fail(self, error: Exception) -> None:
        self.error = error
        self._end()
        self._is_released.set()

    def _note_lost(self, rank: int) -> None:
        if rank == 0:
            self._fail(EngineError("rank 0 has ended"))

    def _end(self) -> None:
        self._is_over.set()
        self._frames.put(None)
        threading.Thread(target=self._interrupt, name="hpcml-interrupt", daemon=True).start()

    def _interrupt(self) -> None:
        """Interrupt the task that runs, until it ends; a call of a library in C takes notice when it returns."""
        while self._can_be_interrupted:
            with self._lock:
                if not self._is_running or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
                    return
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            self._is_released.wait(INTERRUPT_SECONDS)

    def run(self) -> None:
        """Run frames until rank 0 ends the service."""
        try:
            while (frame := self._frames.get()) is not None and not self._is_over.is_set():
                outcomes = self._run_frame(bytes(frame.body))
                self._thread.send(0, Packet(Kind.OUTCOMES, self._number, frame.generation, outcomes))
        except KeyboardInterrupt:
            if not self._is_over.is_set():
                raise
        self._thread.send(0, Packet(Kind.END, self._number))
        self._is_released.wait(RELEASE_SECONDS)

    def _run_frame(self, frame: bytes) -> bytes:
        self._is_running = True
        try:
            return run_frame(frame)
        finally:
            with self._lock:
                self._is_running = False
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(Exception):  # a task may have closed it
                    stream.flush()

    def close(self) -> bool:
        """End the thread of MPI; return whether the communicator is to be freed."""
        return self._thread.close() and self.is_freed


def serve(mpi: Any, comm: Any, worker: Worker) -> None:
    """Run the frames of rank 0 in this process, until its Cluster is closed.

    Raises
    ------
    EngineError
        MPI has failed.
    """
    exchange = Exchange(mpi, comm, lives_on=True)
    become_worker(worker.host, worker.slot)
    service = _Service(exchange, comm.rank - 1)
    try:
        with _own_random_numbers():
            service.run()
    finally:
        is_freed = service.close()
        leave_worker()
    if is_freed:
        exchange.stop_receiving()
        comm.Free()
    if service.error:
        raise EngineError(f"MPI has failed on rank {comm.rank}: {service.error}") from service.error


@contextlib.contextmanager
def _own_random_numbers() -> Iterator[None]:
    """Draw this rank's own random numbers: a script that seeds has seeded all ranks alike."""
    state = random.getstate()
    numpy = sys.modules.get("numpy.random")
    of_numpy = numpy.get_state() if numpy else None
    random.seed()
    if numpy:
        numpy.seed()
    try:
        yield
    finally:
        random.setstate(state)
        if numpy:
            numpy.set_state(of_numpy)
