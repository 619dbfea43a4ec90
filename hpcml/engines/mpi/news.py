"""News of the MPI steps: the launchers' messages, the ends of steps, and the relays' answers."""

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Set
from typing import Any, cast

from hpcml.engines.mpi.link import DriverLink
from hpcml.engines.mpi.message_types import News, Order
from hpcml.engines.mpi.recovery import MpiRecovery
from hpcml.engines.mpi.socket_link import DriverSocketLink
from hpcml.engines.mpi.step import MpiStep, StepStarter
from hpcml.engines.mpi.workers import MpiWorkers
from hpcml.engines.nodes.addresses import reach, unreachable
from hpcml.engines.nodes.node_data import NodeData
from hpcml.engines.plan import Plan
from hpcml.slurm.process import Inbox, Program

__all__ = ["MpiNews"]

log = logging.getLogger("hpcml")

QUESTION_SECONDS = 1.0


class MpiNews:
    """Handler of the news, by one thread at a time: that of the start, then its own."""

    def __init__(self, plan: Plan, inbox: Inbox) -> None:
        self._plan = plan
        self._inbox = inbox
        self.data = NodeData(plan, self._put, self._start_idle_steps)
        self.starter = StepStarter(plan, inbox, self.data.order())
        self.workers = MpiWorkers(plan.nodes, self._kill)
        self.workers.on_answer = lambda node: inbox.put((None, {"answered": node}))
        self.recovery = MpiRecovery(plan, self.starter, self.workers, self.data)
        self.gpus: dict[str, int] = {}  # of each node, the number that its launcher has found
        self._asked = 0.0
        self._thread = threading.Thread(target=self._run, name="hpcml-mpi-news", daemon=True)

    def _put(self, order: Any) -> None:
        self._inbox.put((None, dict(order)))

    def _start_idle_steps(self, names: Set[str]) -> None:
        self.starter.start_idle_steps(names)

    def _kill(self, node: str, slot: int, generation: int) -> None:
        self._put({"kill": [node, slot, generation]})

    # -- messages ------------------------------------------------------------------------------------------------
    def handle(self, program: Program | None, message: dict[str, Any] | None) -> None:
        """Handle a message of a launcher, the end of a step (no message), an answer or an order (no program)."""
        if program is None:
            if message is not None and "answered" in message:
                self.recovery.note_relay(message["answered"])
            elif message is not None:
                for step in self.recovery.steps:
                    step.program.send(cast(Order, message))
        elif message is None:
            self.recovery.end(program)
        elif (current := self.recovery.step_of(program)) is not None:
            self._take(current, cast(News, message))
        elif "holds" in message and self.starter.is_idle(program):
            self.data.take(cast(News, message))

    def _take(self, step: MpiStep, news: News) -> None:
        if "printed" in news:
            self.workers.delayed.take(news, self.workers.on_print)
        elif "here" in news:
            step.connected.add(news["here"])
        elif "addresses" in news:
            self._choose_address(step, news)
        elif "port" in news:
            link = DriverLink(self.starter.keys, step.address, news["port"], self.workers.take)
            self._connect(step, link)
        elif "socket" in news:
            self._connect(step, DriverSocketLink(news["socket"], self.workers.take))
        elif "error" in news:
            error = self.starter.explain(news["error"]) or f"{news['node']}: {news['error']}"
            self.recovery.note_error(step, error)
        elif "alive" in news:
            self.recovery.answers.note_launcher(news["alive"])
        else:
            self._take_of_workers(step, news)

    def _take_of_workers(self, step: MpiStep, news: News) -> None:
        if "died" in news:
            self.workers.note_printed(*news["died"])
        elif "stopped" in news:
            log.warning("worker %s:%d no longer answers; its tasks run elsewhere", news["node"], news["stopped"])
        elif "given_up" in news:
            self.workers.give_up(news["node"], [news["given_up"]])
        elif "data" in news:
            step.number = news["data"]["step"] if self._plan.allocation is not None else ""
            self.data.add_node(news["node"], news["data"])
            self.gpus[news["node"]] = news["gpus"]
        elif "room" in news:
            self.data.take(news)

    def _connect(self, step: MpiStep, link: DriverLink | DriverSocketLink) -> None:
        step.link = link
        self.workers.connect(step.names, link)
        step.ask()  # the relay sends nothing before it has a packet of the driver

    def _choose_address(self, step: MpiStep, news: News) -> None:
        """Try the addresses of the relay that has the link; the first that answers is taken."""
        tried = reach([(address, port) for address, port in news["addresses"]], bytes.fromhex(news["token"]))
        found = [address for address, error in tried.items() if not error]
        if found:
            step.address = found[0]
            step.program.send({"bind": found[0]})
        else:
            headline = f"no address of {news['node']} can be reached from here"
            advice = 'Cluster(engine="local") uses this computer.'
            self.recovery.note_error(step, unreachable(headline, {"this host": tried}, advice))

    # -- the thread ----------------------------------------------------------------------------------------------
    def start_watching(self) -> None:
        """Handle news in a thread from now on, and replace what is lost."""
        self.recovery.is_watching = True
        self._thread.start()

    def _run(self) -> None:
        while not self.recovery.is_stopping:
            with contextlib.suppress(queue.Empty):
                self.handle(*self._inbox.get(timeout=QUESTION_SECONDS))
            self.workers.delayed.release_complete()
            if time.monotonic() > self._asked + QUESTION_SECONDS:
                self._asked = time.monotonic()
                self.recovery.look()

    def stop(self, grace: float) -> None:
        """End the thread and the steps, and take the prints that have come since; see `StepStarter.stop`."""
        self.recovery.is_stopping = True
        self._inbox.put((None, None))
        if self._thread.is_alive():  # it may be about to start a step
            self._thread.join(10)
        for step in self.recovery.steps:
            if not step.connected:
                step.program.terminate()  # a node, or Slurm, may be out of reach: there is nothing to wait for
        self.starter.stop(self.recovery.steps, grace)
        with contextlib.suppress(queue.Empty):
            while True:
                program, message = self._inbox.get_nowait()
                if message is not None and "printed" in message:
                    self.handle(program, message)
        for step in self.recovery.steps:
            step.unlink()
