"""Links between a driver and a relay: packets arrive whole and in order; strangers are not heard."""

import socket
import threading
from contextlib import closing, contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from patience import wait_until

from hpcml.engines.mpi.link import DriverLink, RelayLink
from hpcml.engines.mpi.packet import Kind, Packet
from hpcml.engines.mpi.socket_link import DriverSocketLink, RelaySocketLink
from hpcml.engines.nodes.curve import new_keys

LARGE = bytes(range(256)) * 40_000  # more than a socket's buffer


@contextmanager
def near():
    """Yield both ends of a link on one node, and what the driver gets."""
    came = []
    with closing(RelaySocketLink()) as relay, closing(DriverSocketLink(relay.name, came.append)) as driver:
        yield relay, driver, came


@contextmanager
def far():
    keys, came = new_keys(), []
    with (
        closing(RelayLink(keys, "127.0.0.1")) as relay,
        closing(DriverLink(keys, "127.0.0.1", relay.port, came.append)) as driver,
    ):
        yield relay, driver, came


def receive(relay, number):
    found = []
    wait_until(lambda: found.extend(plain(relay.receive())) or len(found) >= number, 20, lambda: found)
    return found


def plain(packets):
    return [(packet.kind, packet.slot, packet.generation, bytes(packet.body)) for packet in packets]


@pytest.mark.parametrize("kind", [near, far])
def test_packets_arrive_in_order_in_both_directions(kind):
    frames = [Packet(Kind.FRAME, slot, 7, body) for slot, body in enumerate((b"", b"a", LARGE, b"b"))]
    with kind() as (relay, driver, came):
        for frame in frames:
            driver.send(frame)
        assert receive(relay, 4) == plain(frames)
        outcomes = [frame._replace(kind=Kind.OUTCOMES) for frame in frames]
        for outcome in outcomes:
            relay.send(outcome)
        wait_until(lambda: len(came) == 4, 20)
        assert plain(came) == plain(outcomes)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.tuples(st.sampled_from(Kind), st.integers(0, 2**32 - 1), st.binary(max_size=300)), max_size=20))
def test_any_packets_arrive(contents):
    packets = [Packet(kind, number, number, body) for kind, number, body in contents]
    with near() as (relay, driver, _):
        sender = threading.Thread(target=lambda: [driver.send(packet) for packet in packets])
        sender.start()
        assert receive(relay, len(packets)) == plain(packets)
        sender.join()


def test_a_driver_without_the_key_is_not_heard():
    keys = new_keys()
    with (
        closing(RelayLink(keys, "127.0.0.1")) as relay,
        closing(DriverLink(new_keys(), "127.0.0.1", relay.port, lambda _: None)) as stranger,
    ):
        stranger.send(Packet(Kind.FRAME, 0, 0, b"evil"))
        with closing(DriverLink(keys, "127.0.0.1", relay.port, lambda _: None)) as own:
            own.send(Packet(Kind.FRAME, 0, 0, b"good"))
            assert receive(relay, 1) == [(Kind.FRAME, 0, 0, b"good")]


def test_a_process_of_another_user_is_not_heard(monkeypatch):
    with closing(RelaySocketLink()) as relay:
        monkeypatch.setattr("hpcml.engines.mpi.socket_link.os.getuid", lambda: 12345)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stranger:
            stranger.connect(f"\0{relay.name}")
            assert list(relay.receive()) == []
            stranger.settimeout(5)
            assert stranger.recv(1) == b"", "closed"
