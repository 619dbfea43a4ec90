"""Receives that end without a message, as with a lost rank: their old content is no packet."""

from types import SimpleNamespace

import pytest

from hpcml.engines.mpi.exchange import POSTED, Exchange
from hpcml.engines.mpi.packet import Kind, Packet

ANY_SOURCE, FAILED, PENDING = -1, 75, 76


class Failure(Exception):
    """Error of MPI of a class."""

    def Get_error_class(self):  # noqa: N802
        return self.args[0]


class Receive:
    """Persistent receive as Open MPI 5 has it: after an error it is inactive, and a test of it is true."""

    def __init__(self, buffer, events):
        self.buffer, self.events, self.is_active = buffer, events, False

    def Start(self):  # noqa: N802
        assert not self.is_active
        self.is_active = True

    def Test(self, status):  # noqa: N802
        status.source, status.count = ANY_SOURCE, 0
        if not self.is_active:
            return True
        if not self.events:
            return False
        event = self.events.pop(0)
        if event == PENDING:
            raise Failure(PENDING)
        self.is_active = False
        if event == FAILED:
            raise Failure(FAILED)
        content = event.header() + event.body
        self.buffer[: len(content)] = content
        status.source, status.count = 1, len(content)
        return True


class Status(SimpleNamespace):
    def Get_count(self, _):  # noqa: N802
        return self.count


@pytest.mark.parametrize("failures", [[], [FAILED], [PENDING, FAILED], [FAILED, FAILED, PENDING]])
def test_each_packet_is_received_once_beside_failed_receives(failures):
    packets = [Packet(Kind.OUTCOMES, 0, number, b"outcomes") for number in range(3 * POSTED)]
    events = [event for packet in packets for event in (packet, *failures)]
    comm = SimpleNamespace(
        Recv_init=lambda buffer, source, tag: Receive(buffer[0], events), Barrier=lambda: None
    )
    mpi = SimpleNamespace(
        BYTE=None, ANY_SOURCE=ANY_SOURCE, ERR_PROC_FAILED=FAILED, ERR_PROC_FAILED_PENDING=PENDING,
        Exception=Failure, Status=lambda: Status(source=0, count=0),
    )  # fmt: skip
    exchange = Exchange(mpi, comm, lives_on=True)
    received = [packet for _ in range(20 * POSTED) for packet in exchange.receive()]
    assert received == packets
