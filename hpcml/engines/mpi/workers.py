"""The workers of the MPI engine, as the dispatcher sees them.

::

    dispatcher thread ── submit ──> frame to the least busy worker ──> link
    link's thread ── outcomes, births and deaths ──> frame's future ──> dispatcher's inbox
    news thread ── prints, the end of a step ──> table of slots
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Set
from concurrent.futures import Future
from dataclasses import dataclass, field

from hpcml.data.staging.file_system import LocalStaging
from hpcml.data.staging.store import Staging
from hpcml.engines.interrupts import Interrupts
from hpcml.engines.mpi.link import DriverLink
from hpcml.engines.mpi.packet import Kind, Packet
from hpcml.engines.mpi.socket_link import DriverSocketLink
from hpcml.engines.nodes.delayed_outcomes import DelayedOutcomes
from hpcml.engines.worker import Worker
from hpcml.errors import EngineError, WorkerDied
from hpcml.slurm.nodes import Node

__all__ = ["MpiWorkers"]


@dataclass(eq=False)
class _Slot:
    """A slot, its worker, the link to it, and the frames that it has not answered yet."""

    number: int
    worker: Worker
    link: DriverLink | DriverSocketLink | None = None
    generation: int = 0
    is_alive: bool = False
    killed: bool = False
    last_sent: float = 0.0
    outstanding: deque["Future[bytes]"] = field(default_factory=deque)


class MpiWorkers:
    """The workers of all nodes; see `hpcml.engines.interface.Workers`.

    Parameters
    ----------
    kill
        Orders a launcher to kill a worker: name of the node, slot there, generation.
    """

    def __init__(self, nodes: Iterable[Node], kill: Callable[[str, int, int], None]) -> None:
        self.staging: Staging = LocalStaging([])
        self.on_change: Callable[[], None] = lambda: None
        self.on_broken: Callable[[BaseException], None] = lambda _: None
        self.on_print: Callable[[str, int, bytes, bool], None] = lambda *_: None
        self.on_answer: Callable[[str], None] = lambda _: None
        self.delayed = DelayedOutcomes()
        workers = [Worker(node.name, slot) for node in nodes for slot in range(node.slots)]
        self._slots = [_Slot(number, worker) for number, worker in enumerate(workers)]
        self._lost: set[int] = set()  # numbers of slots whose workers do not come back
        self._ends: dict[tuple[int, int], tuple[str, list[Future[bytes]]]] = {}  # slot and generation of workers
        self._printed: set[tuple[int, int]] = set()
        self._lock = threading.Lock()  # protects the slots, and the ends of workers
        self._interrupts: Interrupts[_Slot] = Interrupts(
            self._lock, self._living, lambda slot: kill(slot.worker.host, slot.worker.slot, slot.generation)
        )

    @property
    def slots(self) -> int:
        """Number of workers, those included that are being replaced."""
        return len(self._slots) - len(self._lost)

    @property
    def ready(self) -> int:
        """Number of workers that take frames."""
        with self._lock:
            return len(self._living())

    @property
    def hosts(self) -> tuple[str, ...]:
        """Nodes of the living workers, each once."""
        with self._lock:
            return tuple(dict.fromkeys(slot.worker.host for slot in self._slots if slot.is_alive))

    def _living(self) -> list[_Slot]:
        return [slot for slot in self._slots if slot.is_alive and not slot.killed]

    # -- news ----------------------------------------------------------------------------------------------------
    def connect(self, hosts: Set[str], link: DriverLink | DriverSocketLink) -> None:
        """Use the link of a step for the workers on its nodes."""
        with self._lock:
            for slot in self._slots:
                if slot.worker.host in hosts:
                    slot.link = link

    def take(self, packet: Packet) -> None:
        """Take a packet of a relay; called in the link's thread."""
        if packet.kind == Kind.ANSWER:
            self.on_answer(bytes(packet.body).decode())
            return
        slot = self._slots[packet.slot]
        if packet.kind == Kind.OUTCOMES:
            self._receive(slot, packet)
        elif packet.kind == Kind.BORN:
            with self._lock:
                slot.generation, slot.is_alive, slot.killed = packet.generation, True, False
                self._lost.discard(slot.number)
            self.on_change()
        elif packet.kind == Kind.DIED:
            with self._lock:
                left = []
                if packet.generation == slot.generation:
                    slot.is_alive = False
                    left = self._take_frames([slot])
                self._ends[packet.slot, packet.generation] = bytes(packet.body).decode(), left
            self.on_change()
            self._fail_if_printed(packet.slot, packet.generation)

    def note_printed(self, number: int, generation: int) -> None:
        """Note that the launcher has sent all prints of a worker that has ended."""
        with self._lock:
            self._printed.add((number, generation))
        self._fail_if_printed(number, generation)

    def _fail_if_printed(self, number: int, generation: int) -> None:
        """Fail the frames of a worker that has ended, when its prints are here: the two come by different ways."""
        with self._lock:
            if (number, generation) not in self._printed or (number, generation) not in self._ends:
                return
            self._printed.discard((number, generation))
            cause, left = self._ends.pop((number, generation))
        worker = self._slots[number].worker
        for place, future in enumerate(left):  # only the first of them may have run
            future.set_exception(WorkerDied(f"{worker} {cause}", str(worker), started=place == 0))

    def _receive(self, slot: _Slot, packet: Packet) -> None:
        with self._lock:
            if packet.generation != slot.generation or not slot.outstanding:
                return
            future = slot.outstanding.popleft()
            self._interrupts.discard([future])
        self._interrupts.kill_due()
        outcomes = bytes(packet.body)
        self.delayed.add(slot.worker, outcomes, lambda: future.set_result(outcomes))

    def _take_frames(self, slots: Iterable[_Slot]) -> list["Future[bytes]"]:
        """Remove the frames of some slots, and return their futures; the caller holds the lock."""
        left: list[Future[bytes]] = []
        for slot in slots:
            left += slot.outstanding
            slot.outstanding.clear()
        self._interrupts.discard(left)
        return left

    def lose(self, hosts: Set[str], reason: str) -> None:
        """Fail the frames of the workers on nodes whose step has ended; no task is held responsible."""
        with self._lock:
            slots = [slot for slot in self._slots if slot.worker.host in hosts]
            for slot in slots:
                slot.is_alive = False
                slot.link = None
            left = self._take_frames(slots)
            numbers = {slot.number for slot in slots}
            for end in [end for end in self._ends if end[0] in numbers]:
                left += self._ends.pop(end)[1]
            self._printed = {end for end in self._printed if end[0] not in numbers}
        self.on_change()
        for future in left:
            future.set_exception(WorkerDied(reason, started=False))

    def give_up(self, host: str, slots: Iterable[int] | None = None) -> None:
        """Note that workers of a node do not come back: those of some slots, or all."""
        self._lost |= {
            slot.number
            for slot in self._slots
            if slot.worker.host == host and (slots is None or slot.worker.slot in slots)
        }
        self.on_change()

    def fail(self, reason: str) -> None:
        """Give up: no worker can be reached any more."""
        self.lose({slot.worker.host for slot in self._slots}, reason)
        self.on_broken(EngineError(reason))

    # -- frames --------------------------------------------------------------------------------------------------
    def submit(self, frame: bytes, avoid: Set[str] = frozenset()) -> "Future[bytes]":
        """Send a frame to the worker with the least to do; see `hpcml.engines.interface.Workers`."""
        future: Future[bytes] = Future()
        hosts = {worker.rpartition(":")[0] for worker in avoid}
        with self._lock:
            slot = min(
                self._living(),
                key=lambda slot: (len(slot.outstanding), slot.worker.host in hosts, slot.last_sent),
                default=None,
            )
            if slot is not None and slot.link is not None:
                slot.outstanding.append(future)
                slot.last_sent = time.monotonic()
                slot.link.send(Packet(Kind.FRAME, slot.number, slot.generation, frame))
                return future
        future.set_exception(WorkerDied("no worker is there just now", started=False))
        return future

    def frames_running(self) -> dict[str, "Future[bytes]"]:
        """Return the frame that each busy worker runs now."""
        with self._lock:
            return {str(slot.worker): slot.outstanding[0] for slot in self._slots if slot.outstanding}

    def interrupt(self, future: "Future[bytes]") -> None:
        """End the work on a frame by ending its worker, now or when the frame's turn comes."""
        self._interrupts.interrupt(future)
