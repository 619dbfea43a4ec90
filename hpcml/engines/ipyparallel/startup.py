"""How the controller, the launchers and the driver come together, and what is said when they do not."""

import logging
import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcml.allocation import Node
from hpcml.engines.ipyparallel.commands import programs
from hpcml.engines.ipyparallel.data import NodeData
from hpcml.engines.ipyparallel.messages import reach
from hpcml.engines.ipyparallel.trouble import Seen, failures, unreachable
from hpcml.errors import EngineError
from hpcml.hostlist import compress
from hpcml.plan import Plan
from hpcml.process import Program
from hpcml.srun import step_environment
from hpcml.threads import thread_variables

if TYPE_CHECKING:
    from hpcml.engines.ipyparallel.workers import EngineWorkers

__all__ = ["Startup"]

log = logging.getLogger("hpcml")

Inbox = queue.SimpleQueue[tuple[Program | None, dict[str, Any] | None]]


class Startup:
    """Starts everything, then keeps listening to it; one object per run.

    The messages of all programs go through one queue, which the thread that starts reads until all is
    there, and the news thread after that.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.deadline = time.monotonic() + plan.timeout
        self.inbox: Inbox = queue.SimpleQueue()
        self.here: set[str] = set()  # the nodes whose launcher has spoken
        self.left_out: set[str] = set()
        self.given_up = 0  # slots whose engines died again and again
        self.running = False
        self.reached: dict[str, dict[str, str]] = {}
        self.offer: dict[str, Any] = {}
        self.orders: list[dict[str, Any]] = []  # what all launchers were told
        self.environment = step_environment(plan.environment)
        self.environment.pop("PYTHONWARNINGS", None)  # meant for the script, and fatal to ipyparallel
        self.bound = False
        self.workers: EngineWorkers | None = None
        self.data = NodeData(plan, lambda order: self.inbox.put((None, order)))
        self.notes: dict[str, str] = {}
        self.ended: list[Program] = []
        self.programs: list[Program] = []
        self.launchers: list[tuple[tuple[Node, ...], Program]] = []
        self._stopping = False
        self._news = threading.Thread(target=self._listen, name="hpcml-news", daemon=True)

    def run(self) -> "EngineWorkers":
        """Start the programs and return when all engines are there, or as many as will do."""
        controller, steps = programs(self.plan)
        for nodes, command in steps:
            self._launch(nodes, command)
        self.controller = self._program("controller", controller, self.environment)
        import_module("hpcml.engines.ipyparallel.workers")  # with ipyparallel's client, while the nodes start
        patience = time.monotonic() + self.plan.timeout / 3
        while not self._complete() and time.monotonic() < self.deadline and not self._over():
            self._handle_next(min(self.deadline, time.monotonic() + 0.5))
            late = time.monotonic() > patience
            if late and self.plan.min_slots is not None:
                self._leave_out_silent_nodes()
            self._bind(force=late)
        self._judge()
        assert self.workers is not None
        self.workers.staging = self.data.staging(self.workers.hosts, self.environment)
        self.workers.probe(max(self.deadline - time.monotonic(), 5))
        self._news.start()
        self.running = True
        return self.workers

    def _program(self, name: str, command: Sequence[str], environment: dict[str, str]) -> Program:
        log.debug("starting %s", " ".join(command))
        path = self.plan.run_dir / f"{name}.log"
        program = Program(name, command, environment, self.inbox, path)
        self.programs.append(program)
        return program

    def _launch(self, nodes: tuple[Node, ...], command: Sequence[str]) -> Program:
        """Start the launchers of `nodes`, and tell them what the others know already."""
        threads = thread_variables(nodes[0].cpus_per_slot)
        launcher = self._program(f"workers-{len(self.launchers)}", command, {**self.environment, **threads})
        self.launchers.append((nodes, launcher))
        for message in self.orders:
            launcher.send(message)
        return launcher

    def _tell_launchers(self, message: dict[str, Any]) -> None:
        self.orders.append(message)
        self._send_launchers(message)

    def _send_launchers(self, message: dict[str, Any]) -> None:
        for _, launcher in self.launchers:
            launcher.send(message)

    def _leave_out_silent_nodes(self) -> None:
        """Start anew without the nodes that have said nothing: srun holds back a step until all are there."""
        silent = {node.name for node in self.plan.nodes} - self.here
        if self.left_out:
            return
        self.left_out = silent
        for nodes, launcher in list(self.launchers):
            speaking = [node for node in nodes if node.name not in silent]
            if speaking and len(speaking) < len(nodes):
                log.warning("nothing heard from %s: starting without", compress(sorted(silent)))
                launcher.terminate()
                self.launchers.remove((nodes, launcher))
                plan = replace(self.plan, nodes=tuple(speaking))
                for group, command in programs(plan)[1]:
                    self._launch(group, command)

    def _over(self) -> bool:
        return self.controller in self.ended or all(launcher in self.ended for _, launcher in self.launchers)

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
                self.ended.append(program)
        elif "remove" in message:
            self._send_launchers(message)
        elif "here" in message:
            self.here.add(message["here"])
        elif "addresses" in message:
            self._probe(message)
        elif "reached" in message:
            self.reached[message["node"]] = message["reached"]
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
        self._tell_launchers({"probe": offer})
        addresses = [(address, port) for address, port in offer["addresses"]]
        self.reached["this process"] = reach(addresses, bytes.fromhex(offer["token"]))

    def _bind(self, force: bool) -> None:
        """Choose the address when every node has reported, or with `force` when some have."""
        missing = [node.name for node in self.plan.nodes if node.name not in self.reached]
        if self.bound or not self.offer or (missing and not (force and len(self.reached) > 1)):
            return
        addresses = [address for address, _ in self.offer["addresses"]]
        good = [address for address in addresses if not any(seen[address] for seen in self.reached.values())]
        if not good:
            raise EngineError(unreachable(self.reached))
        self.bound = True
        self.controller.send({"bind": good[0]})

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
        self._tell_launchers({"start": order})
        from ipyparallel import Client

        from hpcml.engines.ipyparallel.workers import EngineWorkers

        client = Client(
            info["client"],
            profile_dir=str(self.plan.run_dir),
            ipython_dir=str(self.plan.run_dir),
            timeout=max(self.deadline - time.monotonic(), 1),
        )
        self.workers = EngineWorkers(client, self._kill)
        self.workers.on_change = lambda: self.inbox.put((None, {}))

    def _kill(self, engine: int) -> None:
        self._send_launchers({"kill": engine})

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
        enough = sum(node.slots for node in self.plan.nodes if node.name in self.here) or 1
        raise EngineError(
            f"{said}\nThe logs are in {self.plan.run_dir}. To give slow nodes more time: Cluster(timeout="
            f"{4 * self.plan.timeout:g}); to go on with fewer workers: Cluster(min_slots={enough})."
        )

    def _trouble(self) -> str:
        controller = Seen(self.controller, self.controller in self.ended, self.workers is not None)
        have = self.workers.hosts if self.workers else ()
        return failures(controller, self.launchers, self.here, have, labelled=self.plan.allocation is not None)

    def _listen(self) -> None:
        """Take the news until `stop`: engines that died and were replaced, programs that ended."""
        while not self._stopping:
            program, message = self.inbox.get()
            self._handle(program, message)
            if not self._stopping and message is None and self.workers is not None and program is not None:
                self._lost(program)
            elif self.workers is not None and self.given_up and not self.workers.slots and not self._stopping:
                self.workers.fail(f"every worker has ended again and again; the logs are in {self.plan.run_dir}")

    def _lost(self, program: Program) -> None:
        assert self.workers is not None
        if self._over():
            reason = (
                f"the {program.name} step ended with status {program.status}; its log, {program.log}, ends with"
            )
            self.workers.fail(f"{reason}\n{program.log_tail()}")

    def stop(self) -> None:
        """End the programs, all at once, then the client and the news thread."""
        self._stopping = True
        for program in self.programs:
            program.close()
        for program in self.programs:  # a start that failed has hung long enough
            program.stop(grace=5 if self.running else 1)
        self.inbox.put((None, {}))
        if self._news.is_alive():
            self._news.join(10)
        if self.workers is not None:
            self.workers.client.close(linger=0)
