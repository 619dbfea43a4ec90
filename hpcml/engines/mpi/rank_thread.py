"""Thread that makes the calls of MPI for one rank of the user's own, while other threads submit and run tasks."""

import atexit
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable

from hpcml.engines.mpi.exchange import Exchange, pause_after
from hpcml.engines.mpi.packet import Packet

__all__ = ["RankThread", "end_mpi"]

JOIN_SECONDS = 10.0
END_SECONDS = 5

_has_lost = threading.Event()


def end_mpi() -> None:
    """End MPI, if it has begun; after a loss, where its end hangs now and then (5.0.11), within some seconds."""
    mpi = sys.modules.get("mpi4py.MPI")
    if mpi is None or not mpi.Is_initialized() or mpi.Is_finalized():
        return
    if _has_lost.is_set():  # the kernel then ends this process
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(END_SECONDS)
    mpi.Finalize()
    signal.alarm(0)


@atexit.register
def _end_mpi_after_a_loss() -> None:
    """Leave the end of MPI to mpi4py, which has no limit for it, where no rank is lost."""
    if _has_lost.is_set():
        end_mpi()


class RankThread:
    """Sends packets for other threads, and passes on those that arrive.

    Parameters
    ----------
    on_packet
        Called with each packet that arrives, in this thread.
    on_error
        Called with the error of MPI that has ended this thread.
    on_lost
        Called with a rank that is lost, where MPI lives on without it.
    """

    def __init__(
        self,
        exchange: Exchange,
        on_packet: Callable[[Packet], None],
        on_error: Callable[[Exception], None],
        on_lost: Callable[[int], None],
    ) -> None:
        self._exchange = exchange
        self._on_packet = on_packet
        self._on_error = on_error
        self._on_lost = on_lost
        self._unsent: deque[tuple[int, Packet]] = deque()  # filled by any thread, emptied by this one
        self._wake = threading.Event()
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="hpcml-ranks", daemon=True)
        self._thread.start()

    def send(self, rank: int, packet: Packet) -> None:
        """Send a packet to a rank, soon."""
        self._unsent.append((rank, packet))
        self._wake.set()

    def close(self) -> bool:
        """End the thread when all is sent; return whether that has come to its end in time."""
        self._ending = True
        self._wake.set()
        self._thread.join(JOIN_SECONDS)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._exchange_packets()
        except Exception as error:  # of MPI: nobody may wait for ever because of it
            self._on_error(error)

    def _exchange_packets(self) -> None:
        exchange = self._exchange
        active = time.monotonic()
        while not self._ending or self._unsent or exchange.is_sending:
            while self._unsent:
                exchange.send(*self._unsent.popleft())
                active = time.monotonic()
            for packet in exchange.receive():
                self._on_packet(packet)
                active = time.monotonic()
            for rank in exchange.lost_ranks():
                _has_lost.set()
                self._on_lost(rank)
            waited = time.monotonic() - active
            # MPI sends a long body only while it is called.
            pause = pause_after(min(waited, 1e-3) if exchange.is_sending else waited)
            if pause:
                self._wake.wait(pause)
            else:
                time.sleep(0)
            self._wake.clear()
