"""Packets between the ranks of a communicator, without a wait anywhere.

Small packets come in buffers of persistent receives, which are posted before anybody sends. Long bodies follow
their header in messages of their own, which are received into their final place. Receives are tested, never
probed: a probe looks before it drives the progress of MPI, and misses what has arrived meanwhile.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

from hpcml.engines.mpi.packet import HEADER_BYTES, Packet, read_header

__all__ = ["Exchange", "pause_after"]

SMALL_BYTES = 1 << 16  # of a packet that is one message
PIECE_BYTES = 1 << 30  # of a message: MPI counts in 32 bits
POSTED = 8  # receives
_SMALL, _LONG = 1, 2  # tags
YIELD_SECONDS = 50e-6  # without a packet, in which the processor is only yielded
LONGEST_PAUSE_SECONDS = 0.02
WAITED_SHARE = 16  # the pause is this part of the time without a packet, and adds no more to a wait


def pause_after(waited: float) -> float:
    """Return the seconds until MPI is to be asked again, after so many without a packet.

    Examples
    --------
    >>> from hpcml.engines.mpi.exchange import pause_after
    >>> pause_after(1e-5), pause_after(0.08), pause_after(60)
    (0.0, 0.005, 0.02)
    """
    return 0.0 if waited < YIELD_SECONDS else min(waited / WAITED_SHARE, LONGEST_PAUSE_SECONDS)


class _Incoming:
    """A packet whose body is being received; it is complete when no request is left."""

    def __init__(self, packet: Packet, requests: Sequence[Any] = ()) -> None:
        self.packet = packet
        self._requests = deque(requests)

    def is_complete(self) -> bool:
        """Return whether the body is there."""
        while self._requests and self._requests[0].Test():
            self._requests.popleft()
        return not self._requests


class Exchange:
    """Packets from and to the ranks of a communicator; all calls are made in one thread.

    Parameters
    ----------
    mpi
        The module ``mpi4py.MPI``.
    comm
        A communicator that is used for nothing else.
    lives_on
        The loss of a rank is no error, where MPI lives on without it: see `lost_ranks`.
    """

    def __init__(self, mpi: Any, comm: Any, lives_on: bool = False) -> None:
        self._mpi = mpi
        self._comm = comm
        self._sending: deque[tuple[Any, object]] = deque()  # requests, and the buffers that these need
        self._arriving: dict[int, deque[_Incoming]] = {}
        self._posted: deque[tuple[Any, bytearray]] = deque()
        for _ in range(POSTED):
            buffer = bytearray(SMALL_BYTES)
            request = comm.Recv_init([buffer, mpi.BYTE], mpi.ANY_SOURCE, _SMALL)
            request.Start()
            self._posted.append((request, buffer))
        self._status = mpi.Status()
        self._errors_of_loss = (mpi.ERR_PROC_FAILED, mpi.ERR_PROC_FAILED_PENDING) if lives_on else ()
        self._has_news = False  # of a loss
        self._lost: set[int] = set()
        comm.Barrier()

    @property
    def is_sending(self) -> bool:
        """Return whether a packet is not yet taken by its rank."""
        return bool(self._sending)

    def send(self, rank: int, packet: Packet) -> None:
        """Begin to send a packet."""
        header = packet.header()
        if HEADER_BYTES + len(packet.body) <= SMALL_BYTES:
            self._begin(rank, b"".join((header, packet.body)), _SMALL)
        else:
            self._begin(rank, header, _SMALL)
            for piece in _pieces(packet.body):
                self._begin(rank, piece, _LONG)

    def _begin(self, rank: int, content: bytes | bytearray | memoryview, tag: int) -> None:
        request = self._comm.Isend([content, self._mpi.BYTE], rank, tag)
        self._sending.append((request, content))

    def receive(self) -> Iterator[Packet]:
        """Yield the packets that have arrived, those of one rank in the order in which they were sent."""
        while self._sending and self._test(self._sending[0][0].Test) != "pending":
            self._sending.popleft()
        while self._take_small():
            pass
        for queue in self._arriving.values():
            while queue and (state := self._test(queue[0].is_complete)) != "pending":
                packet = queue.popleft().packet
                if state == "done":
                    yield packet

    def _test(self, test: Callable[[], bool]) -> Literal["done", "pending", "lost"]:
        """Return the state of a request; "lost" is one whose rank is lost."""
        try:
            return "done" if test() else "pending"
        except self._mpi.Exception as error:
            kind = error.Get_error_class()
            if kind not in self._errors_of_loss:
                raise
            self._has_news = True
            return "lost" if kind == self._mpi.ERR_PROC_FAILED else "pending"

    def lost_ranks(self) -> set[int]:
        """Return the ranks that have been lost since the last call.

        MPI lives on without them by ULFM: W. Bland et al., *Post-failure recovery of MPI communication
        capability*, IJHPCA 27(3), 2013. A receive from any rank raises an error until the loss is acknowledged.
        """
        if not self._has_news:
            return set()
        self._has_news = False
        group = self._comm.Get_failed()
        self._comm.Ack_failed(group.Get_size())
        new = set(self._mpi.Group.Translate_ranks(group, None, self._comm.Get_group())) - self._lost
        self._lost |= new
        return new

    def _take_small(self) -> bool:
        """Take the next small message; messages match receives in the order in which these were posted."""
        request, buffer = self._posted[0]
        state = self._test(lambda: request.Test(self._status))
        if state == "pending":
            return False
        source = self._status.source
        # With a lost rank a receive can end without a message; a test of it is then true, and its buffer is stale.
        if state == "lost" or source < 0:
            self._posted.rotate(-1)
            request.Start()
            return True
        kind, slot, generation, nbytes = read_header(buffer)
        if self._status.Get_count(self._mpi.BYTE) == HEADER_BYTES + nbytes:
            arrived = _Incoming(
                Packet(kind, slot, generation, bytes(memoryview(buffer)[HEADER_BYTES : HEADER_BYTES + nbytes]))
            )
        else:
            body = bytearray(nbytes)
            requests = [self._comm.Irecv([piece, self._mpi.BYTE], source, _LONG) for piece in _pieces(body)]
            arrived = _Incoming(Packet(kind, slot, generation, body), requests)
        self._arriving.setdefault(source, deque()).append(arrived)
        self._posted.rotate(-1)
        request.Start()
        return True

    def stop_receiving(self) -> None:
        """Take the receives back."""
        for request, _ in self._posted:
            request.Cancel()
            request.Wait()
            request.Free()
        self._posted.clear()


def _pieces(body: bytes | bytearray | memoryview) -> Iterator[memoryview]:
    """Yield the parts of a long body, each of which is a message."""
    with memoryview(body) as whole:
        for start in range(0, len(whole), PIECE_BYTES):
            yield whole[start : start + PIECE_BYTES]
