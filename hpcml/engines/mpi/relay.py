"""Relay of a node: passes packets between the driver, the ranks of the other nodes, and the workers of its node.

::

    driver ── link ──> relay of the first node ── MPI ──> relay of a node ── socket ──> worker
    launcher of the node ── socket ──> its relay: workers that were forked, and that have ended

The relay is a child of the node's launcher, and the only process of the node in MPI: the death of a worker never
reaches MPI, and the launcher forks the next one from a process that MPI has not touched.
"""

import contextlib
import os
import select
import socket
import sys
import time
from typing import Any

from hpcml.engines.channel import Channel
from hpcml.engines.mpi.control import RelayOrder, receive_order, send_order
from hpcml.engines.mpi.exchange import pause_after
from hpcml.engines.mpi.link import RelayLink
from hpcml.engines.mpi.packet import Kind, Packet
from hpcml.engines.mpi.ranks import Ranks
from hpcml.engines.mpi.shared_memory import mapped_files
from hpcml.engines.mpi.socket_link import RelaySocketLink
from hpcml.engines.nodes.addresses import offered_addresses
from hpcml.engines.nodes.curve import KeyPair
from hpcml.engines.nodes.rank_start import WrongWorld
from hpcml.engines.nodes.stopped import LOOK_SECONDS, Continued

__all__ = ["Relay", "run_relay"]


class Relay:
    """The relay of one node.

    Parameters
    ----------
    control
        Socket of the launcher.
    """

    def __init__(self, order: RelayOrder, control: socket.socket) -> None:
        self._order = order
        self._control = control
        self._first = order["firsts"][order["node"]]
        size = len(order["firsts"])
        self._ranks = Ranks(order["node"], size, order["has_pmix"]) if size > 1 else None
        nodes = [order["node"]] if self._ranks is None else self._ranks.nodes
        self._hub = nodes.index(order["hub"])
        self._rank = 0 if self._ranks is None else self._ranks.rank
        self._starts = sorted((order["firsts"][node], rank) for rank, node in enumerate(nodes))
        self._link: RelayLink | RelaySocketLink | None = None
        self._workers: dict[int, tuple[int, Channel]] = {}  # slot: generation and channel
        self._is_linked = False
        self._waiting: list[Packet] = []  # for the driver, which has not connected yet
        self._epoll = select.epoll()
        self._epoll.register(control, select.EPOLLIN)
        self._slots: dict[int, int] = {}  # file descriptor of a channel: slot
        self._active = time.monotonic()
        self._launcher = Continued(os.getppid())
        self._is_open = True
        send_order(control, {"mapped": [] if self._ranks is None else mapped_files()})
        self._offer = contextlib.ExitStack()
        if self._rank == self._hub:
            offer = self._offer.enter_context(offered_addresses())
            send_order(control, {"addresses": offer["addresses"], "token": offer["token"]})

    def run(self) -> None:
        """Pass on packets until the launcher ends this relay."""
        while self._is_open:
            if self._launcher.look():
                print("hpcml: the launcher was stopped, and is continued", file=sys.stderr, flush=True)
            pause = self._pause()
            # select(2) takes microseconds; of epoll_wait(2) Python rounds up to milliseconds.
            if select.select([self._epoll], [], [], pause)[0]:
                for descriptor, events in self._epoll.poll(0):
                    self._serve(descriptor, events)
            if self._ranks is not None:
                for packet in self._ranks.receive():
                    self._pass_on(packet)
            if self._link is not None:
                for packet in self._link.receive():
                    self._is_linked = True  # the driver's first packet
                    self._pass_on(packet)

    def _pause(self) -> float:
        """Return the seconds until MPI is to be asked again, or without MPI the launcher is to be looked at."""
        if self._ranks is None:
            return LOOK_SECONDS
        waited = time.monotonic() - self._active
        if self._ranks.is_sending:
            waited = min(waited, 1e-3)
        pause = pause_after(waited)
        if not pause:
            os.sched_yield()
        return pause

    def _serve(self, descriptor: int, events: int) -> None:
        if descriptor == self._control.fileno():
            received = receive_order(self._control)
            if received is None:
                self._is_open = False
            else:
                self._follow(*received)
        elif descriptor in self._slots:
            self._active = time.monotonic()
            self._serve_worker(self._slots[descriptor], events)

    def _serve_worker(self, slot: int, events: int) -> None:
        _, channel = self._workers[slot]
        if events & select.EPOLLOUT and not channel.flush():
            self._epoll.modify(channel, select.EPOLLIN)
        if events & (select.EPOLLIN | select.EPOLLHUP) and not channel.receive():
            self._forget(slot)

    def _forget(self, slot: int) -> None:
        """Stop reading from a worker; the launcher says why it has ended."""
        channel = self._workers[slot][1]
        if self._slots.pop(channel.fileno(), None) is not None:
            self._epoll.unregister(channel)

    # -- orders of the launcher ----------------------------------------------------------------------------------
    def _follow(self, order: dict[str, Any], descriptors: list[int]) -> None:
        if "forked" in order:
            self._add(order["forked"], order["generation"], descriptors[0])
        elif "died" in order:
            self._end(order["died"], order["generation"], order["status"])
        elif "bind" in order:
            self._offer.close()
            self._open_link(order["bind"])

    def _open_link(self, address: str) -> None:
        """Listen at `address` for the driver; at a Unix socket, where the driver is on this node."""
        if address.startswith("127."):
            near = self._link = RelaySocketLink()
            send_order(self._control, {"socket": near.name})
        else:
            far = self._link = RelayLink(KeyPair(*(key.encode() for key in self._order["keys"])), address)
            send_order(self._control, {"port": far.port})
        self._epoll.register(self._link, select.EPOLLIN)

    def _add(self, slot: int, generation: int, descriptor: int) -> None:
        number = self._first + slot

        def _pass_outcomes(outcomes: bytes) -> None:
            self._to_driver(Packet(Kind.OUTCOMES, number, generation, outcomes))

        channel = Channel(_pass_outcomes, socket.socket(fileno=descriptor))
        self._workers[slot] = generation, channel
        self._slots[channel.fileno()] = slot
        self._epoll.register(channel, select.EPOLLIN)
        self._to_driver(Packet(Kind.BORN, number, generation, self._order["node"].encode()))

    def _end(self, slot: int, generation: int, status: str) -> None:
        """Pass on what a worker has returned before its end, and then its end."""
        channel = self._workers[slot][1]
        channel.receive()
        self._forget(slot)
        channel.close()
        del self._workers[slot]
        self._to_driver(Packet(Kind.DIED, self._first + slot, generation, status.encode()))

    # -- packets -------------------------------------------------------------------------------------------------
    def _pass_on(self, packet: Packet) -> None:
        """Pass on a packet of the driver, or of another relay."""
        if packet.kind not in (Kind.QUESTION, Kind.ANSWER):  # asked each second, a relay stays idle
            self._active = time.monotonic()
        if packet.kind == Kind.QUESTION:
            self._answer(packet)
        elif packet.kind != Kind.FRAME:
            self._to_driver(packet)
        else:
            rank = next(rank for first, rank in reversed(self._starts) if first <= packet.slot)
            if rank == self._rank:
                self._to_worker(packet)
            elif self._ranks is not None:
                self._ranks.send(rank, packet)

    def _to_worker(self, packet: Packet) -> None:
        slot = packet.slot - self._first
        generation, channel = self._workers.get(slot, (-1, None))
        if channel is not None and generation == packet.generation and channel.send(bytes(packet.body)):
            with contextlib.suppress(OSError):
                self._epoll.modify(channel, select.EPOLLIN | select.EPOLLOUT)

    def _to_driver(self, packet: Packet) -> None:
        if self._rank != self._hub and self._ranks is not None:
            self._ranks.send(self._hub, packet)
        elif self._link is not None and self._is_linked:
            for waiting in self._waiting:
                self._link.send(waiting)
            self._waiting.clear()
            self._link.send(packet)
        else:
            self._waiting.append(packet)

    def _answer(self, question: Packet) -> None:
        """Answer the driver's question, and pass it on to the other relays."""
        if self._rank == self._hub and self._ranks is not None:
            for rank in range(len(self._starts)):
                if rank != self._rank:
                    self._ranks.send(rank, question)
        self._to_driver(Packet(Kind.ANSWER, body=self._order["node"].encode()))

    def close(self) -> None:
        """End the link and MPI."""
        self._offer.close()
        for _, channel in self._workers.values():
            channel.close()
        self._control.close()
        self._epoll.close()
        if self._link is not None:
            self._link.close()
        if self._ranks is not None:
            self._ranks.close()


def run_relay(order: RelayOrder, control: socket.socket) -> int:
    """Run the relay of a node in a process of its own; return the exit status."""
    try:
        relay = Relay(order, control)
    except WrongWorld as error:
        send_order(control, {"error": str(error)})
        return 1
    relay.run()
    relay.close()
    return 0
