"""Relay of one node: frames reach the workers that the driver means, ends come after all outcomes."""

import socket
import threading

import pytest
from patience import wait_until

from hpcml.engines.channel import serve
from hpcml.engines.mpi.control import receive_order, send_order
from hpcml.engines.mpi.packet import Kind, Packet
from hpcml.engines.mpi.relay import run_relay
from hpcml.engines.mpi.socket_link import DriverSocketLink
from hpcml.engines.nodes.curve import new_keys

KEYS = [key.decode() for key in new_keys()]
ORDER = {"node": "n1", "hub": "n1", "firsts": {"n1": 10}, "keys": KEYS, "has_pmix": False}


class Node:
    """A relay in a thread, with workers in threads, and the driver's link."""

    def __init__(self):
        self.control, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.thread = threading.Thread(target=run_relay, args=(ORDER, far))
        self.thread.start()
        self.came = []
        self.sockets = [far]
        assert receive_order(self.control)[0] == {"mapped": []}
        assert "addresses" in receive_order(self.control)[0]
        send_order(self.control, {"bind": "127.0.0.1"})
        self.link = DriverSocketLink(receive_order(self.control)[0]["socket"], self.came.append)
        self.link.send(Packet(Kind.QUESTION))
        self.wait(1)

    def fork(self, slot, generation, run):
        """Start the worker of a slot; its end of the socket is closed by the test, as a death."""
        own, far = socket.socketpair()
        send_order(self.control, {"forked": slot, "generation": generation}, own.fileno())
        own.close()
        threading.Thread(target=serve, args=(far, run), daemon=True).start()
        return far

    def wait(self, number):
        wait_until(lambda: len(self.came) >= number, 20, lambda: self.came)
        return [(packet.kind, packet.slot, packet.generation, bytes(packet.body)) for packet in self.came]

    def close(self):
        self.control.close()
        self.thread.join(20)
        self.link.close()
        for one in self.sockets:
            one.close()
        assert not self.thread.is_alive()


@pytest.fixture
def node():
    node = Node()
    yield node
    node.close()


def test_the_relay_answers_a_question(node):
    assert node.wait(1) == [(Kind.ANSWER, 0, 0, b"n1")]


def test_frames_reach_the_worker_of_their_slot_and_generation(node):
    node.fork(0, 5, lambda frame: b"zero " + frame)
    node.fork(1, 5, lambda frame: b"one " + frame)
    node.wait(3)
    for slot, generation in ((11, 5), (11, 4), (10, 6), (12, 5), (10, 5)):
        node.link.send(Packet(Kind.FRAME, slot, generation, b"frame"))
    found = node.wait(5)
    assert sorted(found[1:3]) == [(Kind.BORN, 10, 5, b"n1"), (Kind.BORN, 11, 5, b"n1")]
    assert sorted(found[3:]) == [(Kind.OUTCOMES, 10, 5, b"zero frame"), (Kind.OUTCOMES, 11, 5, b"one frame")]


def test_the_end_of_a_worker_comes_after_its_outcomes_and_before_its_successor(node):
    large = bytes(3_000_000)
    far = node.fork(0, 1, lambda frame: large)
    node.link.send(Packet(Kind.FRAME, 10, 1, b""))
    node.wait(3)
    far.shutdown(socket.SHUT_RDWR)
    send_order(node.control, {"died": 0, "generation": 1, "status": "ended: signal SIGKILL"})
    node.fork(0, 2, lambda frame: b"")
    found = [(kind, generation) for kind, _, generation, _ in node.wait(5)]
    assert found[1:] == [(Kind.BORN, 1), (Kind.OUTCOMES, 1), (Kind.DIED, 1), (Kind.BORN, 2)]
