"""How the controller, the launchers and the driver come together, and what is said when they do not."""

import logging
import queue
import threading
import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcml.engines.ipyparallel.data import NodeData
from hpcml.engines.ipyparallel.fleet import Fleet
from hpcml.engines.ipyparallel.messages import reach
from hpcml.engines.ipyparallel.trouble import Seen, failures, unreachable
from hpcml.errors import EngineError
from hpcml.plan import Plan
from hpcml.process import Inbox, Program

if TYPE_CHECKING:
    from hpcml.engines.ipyparallel.workers import EngineWorkers

__all__ = ["Startup"]

log = logging.getLogger("hpcml")

ASK_SECONDS = 1.0
CONTROLLER_RESTARTS = 3  # more in one run are no accident


class Startup:
    """Starts everything, then keeps listening to it; one object per run.

    The messages of all programs go through one queue, which the thread that starts reads until all is
    there, and the news thread after that.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.deadline = time.monotonic() + plan.timeout
        self.inbox: Inbox = queue.SimpleQueue()
        self.fleet = Fleet(plan, self.inbox)
        self.here: set[str] = set()  # the nodes whose launcher has spoken
        self.given_up = 0  # slots whose engines died again and again
        self.running = False
        self.reached: dict[str, dict[str, str]] = {}
        self.offer: dict[str, Any] = {}
        self.bound = ""  # the address of the controller
        self.restarts = 0
        self._asked = 0.0  # when the hub was last asked who is there
        self.workers: EngineWorkers | None = None
        self.data = NodeData(plan, lambda order: self.inbox.put((None, order)), self.fleet.hold)
        self.notes: dict[str, str] = {}
        self._stopping = False
        self._news = threading.Thread(target=self._listen, name="hpcml-news", daemon=True)

    def run(self) -> "EngineWorkers":
        """Start the programs and return when all engines are there, or as many as will do."""
        self.fleet.start()
        import_module("hpcml.engines.ipyparallel.workers")  # with ipyparallel's client, while the nodes start
        patience = time.monotonic() + self.plan.timeout / 3
        while not self._complete() and time.monotonic() < self.deadline and not self.fleet.over():
            self._handle_next(min(self.deadline, time.monotonic() + 0.5))
            late = time.monotonic() > patience
            self._ask_hub()
            if late and self.plan.min_slots is not None:
                self.fleet.leave_out({node.name for node in self.plan.nodes} - self.here)
            self._bind(force=late)
        self._judge()
        assert self.workers is not None
        self.workers.staging = self.data.staging(self.fleet.environment)
        self.workers.probe(max(self.deadline - time.monotonic(), 5))
        self._news.start()
        self.running = True
        return self.workers

    def _complete(self) -> bool:
        return self.workers is not None and self.workers.ready + self.given_up >= self.plan.slots

    def _handle_next(self, until: float) -> None:
        try:
            program, message = self.inbox.get(timeout=max(until - time.monotonic(), 0.001))
        except queue.Empty:
            return
        self._handle(program, message)

    def _handle(self, program: Program | None, message: dict[str, Any] | None) -> None:
        if message is None:
            if program is not None:
                self.fleet.ended.append(program)
        elif program is None:
            self.fleet.send(message)  # an order
        elif "room" in message or "holds" in message:
            self.data.take(message)
        elif "here" in message:
            self.here.add(message["here"])
        elif "addresses" in message:
            self._probe(message) if not self.bound else self.fleet.controller.send({"bind": self.bound})
        elif "reached" in message:
            self.reached[message["node"]] = message["reached"]
        elif "client" in message and self.workers is not None:
            self.workers.connect(self._client(message))
            self.fleet.tell({"engine": message["engine"]})
        elif "client" in message:
            self._connect(message)
        elif "forked" in message and self.workers is not None:
            if "died" in message:
                self.workers.died(message["died"], message["status"])
            self.notes[message["node"]] = message.get("note", "")
            if "data" in message:
                self.data.note(message["node"], message["data"])
            self.given_up += "died" in message and not message["forked"]
            slots = {int(number): slot for number, slot in message["forked"].items()}
            self.workers.forked(message["node"], slots)

    def _probe(self, offer: dict[str, Any]) -> None:
        """Have every node try the controller's addresses, and try them from here."""
        self.offer = offer
        self.fleet.tell({"probe": offer})
        addresses = [(address, port) for address, port in offer["addresses"]]
        self.reached["this process"] = reach(addresses, bytes.fromhex(offer["token"]))

    def _bind(self, force: bool) -> None:
        """Choose the address when every node has reported, or with `force` when some have."""
        missing = [node.name for node in self.plan.nodes if node.name not in self.reached]
        if self.bound or not self.offer or (missing and not (force and len(self.reached) > 1)):
            return
        addresses = [address for address, _ in self.offer["addresses"]]
        good = [address for address in addresses if not any(seen[address] for seen in self.reached.values())]
        self.bound = good[0] if good else self._most_reached(addresses)
        self.fleet.controller.send({"bind": self.bound})

    def _most_reached(self, addresses: list[str]) -> str:
        """Return the address that most slots reach, and go on with those, as far as `min_slots` allows."""
        here = self.reached["this process"]
        reaching = {
            address: [node for node in self.plan.nodes if self.reached.get(node.name, {}).get(address) == ""]
            for address in addresses
            if not here[address]
        }
        slots = {address: sum(node.slots for node in nodes) for address, nodes in reaching.items()}
        best = max(slots, key=lambda address: slots[address], default="")
        enough = slots.get(best, 0)
        if not 0 < (self.plan.min_slots or 0) <= enough:
            hint = f"\nTo go on with the nodes that reach one: Cluster(min_slots={enough})." if enough else ""
            raise EngineError(unreachable(self.reached) + hint)
        cut_off = {node.name for node in self.plan.nodes} - {node.name for node in reaching[best]}
        log.warning("%s", unreachable(self.reached))
        self.fleet.leave_out(cut_off)
        return best

    def _ask_hub(self) -> None:
        if self.workers is not None and time.monotonic() > self._asked + ASK_SECONDS:
            self._asked = time.monotonic()
            self.workers.ask_hub()

    def _connect(self, info: dict[str, Any]) -> None:
        """Connect the client, and tell the launchers to fork."""
        shares, first = {}, 0
        for node in self.plan.nodes:
            share = {
                "slots": node.slots,
                "cpus_per_slot": node.cpus_per_slot,
                "cpus": node.cpus,
                "first": first,
            }
            shares[node.name] = share
            first += node.slots
        order = {"engine": info["engine"], "nodes": shares, "stride": first}
        order["directory"], order["data"] = str(Path.cwd()), self.data.order()
        self.fleet.tell({"start": order})
        from hpcml.engines.ipyparallel.workers import EngineWorkers

        self.workers = EngineWorkers(self._client(info), self._kill)
        self.workers.on_change = lambda: self.inbox.put((None, None))

    def _client(self, info: dict[str, Any]) -> Any:
        from ipyparallel import Client

        return Client(
            info["client"],
            profile_dir=str(self.plan.run_dir),
            ipython_dir=str(self.plan.run_dir),
            timeout=max(self.deadline - time.monotonic(), 1),
        )

    def _kill(self, engine: int) -> None:
        self.fleet.send({"kill": engine})

    def _judge(self) -> None:
        """Accept what has come, or say which nodes failed and why."""
        have = self.workers.ready if self.workers else 0
        if have >= self.plan.slots:
            return
        seconds = self.plan.timeout - max(self.deadline - time.monotonic(), 0)
        said = f"{have} of {self.plan.slots} workers came within {seconds:.1f} s.{self._trouble()}"
        if self.plan.min_slots is not None and have >= self.plan.min_slots > 0:
            log.warning("%s\nGoing on with %d, as min_slots=%d allows.", said, have, self.plan.min_slots)
            return
        enough = have or sum(node.slots for node in self.plan.nodes if node.name in self.here) or 1
        raise EngineError(
            f"{said}\nThe logs are in {self.plan.run_dir}. To give slow nodes more time: Cluster(timeout="
            f"{4 * self.plan.timeout:g}); to go on with fewer workers: Cluster(min_slots={enough})."
        )

    def _trouble(self) -> str:
        controller = Seen(
            self.fleet.controller, self.fleet.controller in self.fleet.ended, self.workers is not None
        )
        have = self.workers.hosts if self.workers else ()
        return failures(
            controller, self.fleet.launchers, self.here, have, labelled=self.plan.allocation is not None
        )

    def _listen(self) -> None:
        """Take the news until `stop`: engines that died and were replaced, programs that ended."""
        while not self._stopping:
            try:
                program, message = self.inbox.get(timeout=1.0)
            except queue.Empty:
                program = message = None
            try:
                self._handle(program, message)
            except Exception as error:  # a controller that ends while it is connected to
                log.warning("the news of %s could not be used: %s", program.name if program else "this run", error)
            if not self._stopping and self.workers is not None:
                self.workers.end_silent()
                self._ask_hub()
                self._judge_loss(program if message is None else None)

    def _judge_loss(self, ended: Program | None) -> None:
        """Replace a controller that has ended; give up where nothing can be done."""
        assert self.workers is not None
        if ended is self.fleet.controller and self.restarts < CONTROLLER_RESTARTS and not self.fleet.alone():
            self.restarts += 1
            self.deadline = time.monotonic() + self.plan.timeout
            log.warning("the controller ended with status %s: starting another", ended.status)
            self.fleet.send({"engine": None})  # or they would go on with what nobody will hear of
            self.workers.disconnect("the controller of the workers has ended")
            self.fleet.restart_controller()
        elif ended is not None and self.fleet.over():
            self.workers.fail(
                f"the {ended.name} step ended with status {ended.status}; its log, {ended.log}, ends with\n"
                f"{ended.log_tail()}"
            )
        elif self.given_up and not self.workers.slots:
            self.workers.fail(f"every worker has ended again and again; the logs are in {self.plan.run_dir}")
        elif self.restarts and not self.workers.slots and time.monotonic() > self.deadline:
            self.workers.fail(
                f"no worker came back after the controller's end; the logs are in {self.plan.run_dir}"
            )

    def stop(self) -> None:
        """End the programs, all at once, then the client and the news thread."""
        self._stopping = True
        self.fleet.stop(grace=5 if self.running else 1)  # a start that failed has hung long enough
        self.inbox.put((None, None))
        if self._news.is_alive():
            self._news.join(10)
        if self.workers is not None:
            self.workers.client.close(linger=0)
