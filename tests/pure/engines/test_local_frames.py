"""Channels of engine local: frames and outcomes of any length, in order, also where a worker is slow or ends."""

import os
import socket
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from patience import patient, wait_until

from hpcml.engines.channel import Channel, serve
from hpcml.engines.local.frames import Channels

LENGTHS = (0, 1, 7, 8, 65_527, 65_528, 65_536, 300_000, 5_000_000)


@pytest.fixture
def channels():
    channels = Channels()
    yield channels
    channels.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "hpcml-local-frames"]


class Served:
    """A channel with a thread that serves the other end."""

    def __init__(self, channels, run):
        self.came = []
        own, far = socket.socketpair()
        self.channel = Channel(self.came.append, own)
        channels.open(self.channel)
        self.thread = threading.Thread(target=serve, args=(far, run))
        self.thread.start()


def test_frames_of_any_length_come_back_in_order(channels):
    served = Served(channels, bytes.swapcase)
    sent = [os.urandom(length) for length in LENGTHS] * 3
    for frame in sent:
        channels.send(served.channel, frame)
    wait_until(lambda: len(served.came) == len(sent))
    channels.close_channel(served.channel)
    served.thread.join(patient(10))
    assert not served.thread.is_alive()
    assert served.came == [frame.swapcase() for frame in sent]


def test_a_busy_worker_delays_no_other(channels):
    """Large frames for one that does not read, and the outcomes of another meanwhile."""
    go_on = threading.Event()
    slow = Served(channels, lambda frame: frame if go_on.wait(patient(60)) else b"")
    quick = Served(channels, lambda frame: frame)
    large = [bytes([number]) * 3_000_000 for number in range(5)]
    for frame in large:
        channels.send(slow.channel, frame)
    channels.send(quick.channel, b"quick")
    wait_until(lambda: quick.came == [b"quick"])
    assert slow.came == []
    go_on.set()
    wait_until(lambda: len(slow.came) == 5)
    assert slow.came == large
    for served in (slow, quick):
        channels.close_channel(served.channel)
        served.thread.join(patient(10))


def test_outcomes_that_a_worker_has_sent_before_its_end_are_passed_on(channels):
    came = []
    own, far = socket.socketpair()
    channel = Channel(came.append, own)
    channels.open(channel)
    child = os.fork()
    if child == 0:
        serve(far, lambda frame: frame if frame != b"end" else os._exit(0))
    far.close()
    channels.send(channel, b"first")
    channels.send(channel, b"end")
    os.waitpid(child, 0)
    channels.send(channel, b"nobody reads this")
    channels.close_channel(channel)
    assert came == [b"first"]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.binary(max_size=50)), st.lists(st.integers(1, 40)))
def test_outcomes_arrive_whole_however_the_stream_is_cut(outcomes, cuts):
    came = []
    own, far = socket.socketpair()
    channel = Channel(came.append, own)
    with far:
        stream = b"".join(len(one).to_bytes(8, "little") + one for one in outcomes)
        for cut in cuts:
            far.sendall(stream[:cut])
            stream = stream[cut:]
            assert channel.receive()
        far.sendall(stream)
        far.shutdown(socket.SHUT_WR)
        assert not channel.receive()
    channel.close()
    assert came == outcomes
