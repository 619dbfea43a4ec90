"""Thread that makes the calls of MPI for one rank of the user's own, while other threads submit and run tasks."""

import atexit
import signal
import threading
import time
from collections import deque
from collections.abc import Callable

from hpcml.engines.mpi.exchange import Exchange, pause_after
from hpcml.engines.mpi.packet import Packet

__all__ = ["RankThread", "bound_the_end"]

JOIN_SECONDS = 10.0
END_SECONDS = 5


_has_lost = threading.Event()


def bound_the_end() -> None:
    """Have the kernel end this process where MPI's end hangs, as it does now and then after a loss (5.0.11)."""
    if _has_lost.is_set():
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(END_SECONDS)


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
                atexit.register(bound_the_end)
                self._on_lost(rank)
            waited = time.monotonic() - active
            # MPI sends a long body only while it is called.
            pause = pause_after(min(waited, 1e-3) if exchange.is_sending else waited)
            if pause:
                self._wake.wait(pause)
            else:
                time.sleep(0)
            self._wake.clear()
