"""News of a run: messages of the programs, and their ends, each passed to the part of the driver that needs it."""

import logging
import time
from typing import TYPE_CHECKING, Any, cast

from hpcml.engines.ipyparallel.controller_address import Address
from hpcml.engines.ipyparallel.fleet import Fleet
from hpcml.engines.ipyparallel.liveness import Liveness
from hpcml.engines.ipyparallel.message_types import Connection, News, NodeShare, Order, StartOrder
from hpcml.engines.ipyparallel.recovery import Recovery
from hpcml.engines.ipyparallel.world import World
from hpcml.engines.nodes.node_data import NodeData
from hpcml.engines.plan import Plan
from hpcml.slurm.process import Inbox, Program

if TYPE_CHECKING:
    from hpcml.engines.ipyparallel.client import EngineClient
    from hpcml.engines.ipyparallel.workers import EngineWorkers

__all__ = ["NewsHandler"]

log = logging.getLogger("hpcml")

HUB_QUESTION_SECONDS = 1.0  # between two questions to the hub, while engines are missing


class NewsHandler:
    """Handler of the news of one run, and the parts of the driver that need them; used by one thread at a time.

    ``connected_nodes`` are the nodes whose launcher has sent a message; ``workers`` is None before the controller
    serves.

    Parameters
    ----------
    inbox
        Queue of the programs' messages, and of orders to them from other threads.
    deadline
        End of the start, on the monotonic clock.
    """

    def __init__(self, plan: Plan, inbox: Inbox, deadline: float) -> None:
        self.plan = plan
        self.fleet = Fleet(plan, inbox)
        self.address = Address(plan, self.fleet)
        self.liveness = Liveness(self.fleet)
        self.data = NodeData(plan, lambda order: inbox.put((None, dict(order))), self.fleet.start_idle_steps)
        self.recovery = Recovery(plan, self.fleet, self.address, self.liveness, self.data)
        self.world = World(plan, self.fleet) if plan.mpi else None
        if self.world is not None:
            self.recovery.on_lost = self.world.remove_nodes
        self.connected_nodes: set[str] = set()
        self.gpus: dict[str, int] = {}  # of each node, the number that its launcher has found
        self.workers: EngineWorkers | None = None
        self._inbox = inbox
        self._deadline = deadline
        self._hub_asked = 0.0  # when the hub was last asked for its engines

    def handle(self, program: Program | None, message: dict[str, Any] | None) -> None:
        """Handle a message of a program, its end (no message), or an order to the launchers (no program)."""
        if message is None:
            if program is not None:
                self.fleet.ended.append(program)
                if self.world is not None:
                    self.world.note_end(program)
        elif program is None:
            self.fleet.send(cast(Order, message))
        else:
            self._handle_message(cast(News, message))

    def _handle_message(self, message: News) -> None:
        if "room" in message or "holds" in message:
            self.data.take(message)
        elif "here" in message:
            self.connected_nodes.add(message["here"])
            self.recovery.note_message(message["here"])
        elif "addresses" in message or "reached" in message:
            self.address.take(message)
        elif "alive" in message:
            self.liveness.note_answer(message["alive"])
            if self.world is not None:
                self.world.note_answer(message["alive"])
        elif "client" in message:
            self._connect(message)
        elif self.workers is not None:
            self._handle_engines(message, self.workers)

    def _handle_engines(self, message: News, workers: "EngineWorkers") -> None:
        """Handle a launcher's message: prints of its engines, or engines that were forked or died."""
        if "printed" in message:
            workers.delayed.take(message, workers.on_print)
        elif "forked" in message:
            if "died" in message:
                self._note_death(message, workers)
            if "note" in message:
                log.debug("launcher on %s: %s", message["node"], message["note"])
            if "gpus" in message:
                self.gpus[message["node"]] = message["gpus"]
            if "data" in message:
                self.data.add_node(message["node"], message["data"])
                if self.world is not None:
                    self.world.add_node(message["node"])
            slots = {int(number): slot for number, slot in message["forked"].items()}
            workers.forked(message["node"], slots)

    def _note_death(self, message: News, workers: "EngineWorkers") -> None:
        engine = workers.died(message["died"], message["status"])
        if self.world is None:
            self.recovery.given_up += not message["forked"]
        elif engine is not None:
            self.world.end(f"{engine.worker} {engine.death}", engine.number, by_order=engine.killed)

    def end_silent(self, workers: "EngineWorkers") -> None:
        """End engines that are silent; see `EngineWorkers.end_silent`."""
        for engine in workers.end_silent():
            if self.world is not None:
                self.world.end(f"{engine.worker} {engine.death}", engine.number)

    def begin_world(self) -> None:
        """Begin another world of MPI where there is none: see `World`."""
        if self.world is not None and self.workers is not None:
            self.world.look(self.workers)

    def ask_hub(self) -> None:
        """Ask the hub for engines that are missing, now and then."""
        if self.workers is not None and time.monotonic() > self._hub_asked + HUB_QUESTION_SECONDS:
            self._hub_asked = time.monotonic()
            self.workers.ask_hub()

    def _connect(self, message: News) -> None:
        """Connect a client to the controller, and order the launchers to fork."""
        self.liveness.begin()
        if self.workers is not None:
            self.workers.connect(self._client(message["client"]))
            self.fleet.send_and_remember({"engine": message["engine"]})
            if self.world is not None:
                self.world.end("the controller was started again", by_order=True)
            return
        self.fleet.send_and_remember({"start": self._start_order(message["engine"])})
        from hpcml.engines.ipyparallel.workers import EngineWorkers

        self.workers = EngineWorkers(self._client(message["client"]), self._kill)
        self.workers.on_change = lambda: self._inbox.put((None, None))
        if self.world is not None:
            self.workers.become_ranks(self._restart_ranks)
            self.world.begin(self.workers)

    def _restart_ranks(self, reason: str, engine: int) -> None:
        """End the ranks of an engine, by order of another thread; the thread for news begins others."""
        assert self.world is not None
        self.world.end(reason, engine, by_order=True)
        self._inbox.put((None, None))

    def _start_order(self, engine: Connection) -> StartOrder:
        """Return the order to fork the first engines."""
        shares: dict[str, NodeShare] = {}
        first = 0
        for node in self.plan.nodes:
            shares[node.name] = {
                "slots": node.slots,
                "cpus_per_slot": node.cpus_per_slot,
                "cpus": node.cpus,
                "first": first,
            }
            first += node.slots
        order: StartOrder = {
            "engine": engine,
            "nodes": shares,
            "stride": first,
            "directory": self.plan.directory,
            "data": self.data.order(),
        }
        if self.world is not None:
            order["ranks"] = True
        return order

    def _client(self, info: Connection) -> "EngineClient":
        from hpcml.engines.ipyparallel.client import EngineClient

        deadline = max(self._deadline, self.recovery.deadline)
        return EngineClient(info, self.plan.run_dir, timeout=max(deadline - time.monotonic(), 1))

    def _kill(self, engine: int) -> None:
        self.fleet.send({"kill": engine})
