"""Start of the controller and the launchers, and the errors when they do not come."""

import contextlib
import logging
import queue
import threading
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any

from hpcml.engines.ipyparallel.controller_address import Address
from hpcml.engines.ipyparallel.failures import Seen, failures
from hpcml.engines.ipyparallel.fleet import Fleet
from hpcml.engines.ipyparallel.liveness import Liveness
from hpcml.engines.ipyparallel.node_data import NodeData
from hpcml.engines.ipyparallel.recovery import Recovery
from hpcml.engines.plan import Plan
from hpcml.errors import EngineError
from hpcml.slurm.process import Inbox, Program

if TYPE_CHECKING:
    from hpcml.engines.ipyparallel.workers import EngineWorkers

__all__ = ["Startup"]

log = logging.getLogger("hpcml")

ASK_SECONDS = 1.0


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
        self.running = False
        self.address = Address(plan, self.fleet)
        self.pulse = Liveness(self.fleet)
        self.data = NodeData(plan, lambda order: self.inbox.put((None, order)), self.fleet.hold)
        self.recovery = Recovery(plan, self.fleet, self.address, self.pulse, self.data)
        self._asked = 0.0  # when the hub was last asked who is there
        self.workers: EngineWorkers | None = None
        self.notes: dict[str, str] = {}
        self._stopping = False
        self._news = threading.Thread(target=self._listen, name="hpcml-news", daemon=True)

    def run(self) -> "EngineWorkers":
        """Start the programs and return when all engines are there, or as many as will do."""
        self.fleet.start()
        import_module("hpcml.engines.ipyparallel.workers")  # with ipyparallel's client, while the nodes start
        patience = time.monotonic() + self.plan.timeout / 3
        while not self._complete() and time.monotonic() < self.deadline and not self._is_over():
            self._handle_next(min(self.deadline, time.monotonic() + 0.5))
            late = time.monotonic() > patience
            self._ask_hub()
            if late and self.plan.min_slots is not None:
                self.fleet.leave_out({node.name for node in self.plan.nodes} - self.here)
            self.address.choose(force=late)
        self._judge()
        assert self.workers is not None
        self.workers.staging = self.data.staging(self.fleet.environment)
        self.workers.probe(max(self.deadline - time.monotonic(), 5))
        self._news.start()
        self.running = True
        return self.workers

    def _complete(self) -> bool:
        return self.workers is not None and self.workers.ready + self.recovery.given_up >= self.plan.slots

    def _is_over(self) -> bool:
        return self.fleet.over() or self.plan.unwanted.is_set()

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
            self.recovery.spoke(message["here"])
        elif "addresses" in message or "reached" in message:
            self.address.take(message)
        elif "alive" in message:
            self.pulse.heard(message["alive"])
        elif "client" in message:
            self._connect(message)
        elif self.workers is not None:
            self._handle_engines(message, self.workers)

    def _handle_engines(self, message: dict[str, Any], workers: "EngineWorkers") -> None:
        """Take the news of a launcher: what its engines have printed, which have been forked, which have died."""
        if "printed" in message:
            workers.held.take(message, workers.on_print)
        elif "forked" in message:
            if "died" in message:
                workers.died(message["died"], message["status"])
            self.notes[message["node"]] = message.get("note", "")
            if "data" in message:
                self.data.note(message["node"], message["data"])
            self.recovery.given_up += "died" in message and not message["forked"]
            slots = {int(number): slot for number, slot in message["forked"].items()}
            workers.forked(message["node"], slots)

    def _ask_hub(self) -> None:
        if self.workers is not None and time.monotonic() > self._asked + ASK_SECONDS:
            self._asked = time.monotonic()
            self.workers.ask_hub()

    def _connect(self, info: dict[str, Any]) -> None:
        """Connect the client, and tell the launchers to fork."""
        self.pulse.begin()
        if self.workers is not None:
            self.workers.connect(self._client(info))
            self.fleet.tell({"engine": info["engine"]})
            return
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
        order["directory"], order["data"] = self.plan.directory, self.data.order()
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
            timeout=max(max(self.deadline, self.recovery.deadline) - time.monotonic(), 1),
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
            silent = False
            try:
                program, message = self.inbox.get(timeout=1.0)
            except queue.Empty:
                program = message = None
                silent = self.pulse.is_lost()
            try:
                self._handle(program, message)
                self.address.choose(force=False)
            except Exception as error:  # a controller that ends while it is connected to
                log.warning("the news of %s could not be used: %s", program.name if program else "this run", error)
            if not self._stopping and self.workers is not None:
                self.workers.end_silent()
                self.workers.held.look()
                self._ask_hub()
                self.recovery.judge(self.workers, program if message is None else None, silent)

    def _take_last_prints(self) -> None:
        """Take what the launchers have sent of prints after the news thread's end."""
        with contextlib.suppress(queue.Empty):
            while True:
                program, message = self.inbox.get_nowait()
                if message is not None and "printed" in message:
                    self._handle(program, message)

    def stop(self) -> None:
        """End the programs, all at once, then the client and the news thread."""
        self._stopping = True
        self.fleet.stop(grace=5 if self.running else 1)  # a start that failed has hung long enough
        self.inbox.put((None, None))
        if self._news.is_alive():
            self._news.join(10)
        self._take_last_prints()
        if self.workers is not None:
            self.workers.client.close(linger=0)
