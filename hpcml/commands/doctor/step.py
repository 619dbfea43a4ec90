"""Step of the probes: starts one on every node, takes what they send, and ends them; bounded in time.

srun delivers no input before all nodes of a step have started it, and ends the whole step when one cannot. So
nodes that are silent when a third of the time has passed are left out of a second step, and tried in steps of
their own: a node that forwards Slurm's messages to others may be the only one that is ill.
"""

import queue
import re
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from hpcml.commands.doctor.facts import NodeFacts, StepFacts
from hpcml.commands.doctor.messages import note
from hpcml.commands.doctor.probe import TIMEOUTS
from hpcml.engines.ipyparallel.commands import controller_node
from hpcml.engines.nodes.addresses import offered_addresses, reach
from hpcml.engines.nodes.messages import Offer
from hpcml.engines.nodes.steps import python_module, worker_steps
from hpcml.engines.plan import Plan
from hpcml.slurm.commands import SLURM_FAILED, step_environment
from hpcml.slurm.nodes import Node
from hpcml.slurm.process import Inbox, Program

__all__ = ["ProbeStep", "lines_about"]

_CONNECTIONS = 32  # that are tried at once, from the driver
_OWN_STEPS = 16  # silent nodes that are tried once more, each by itself
_STOP_SECONDS = 1.0
_LOG_LINES = 40
_REPORTER = re.compile(r"^(srun|slurmstepd[\w.-]*): (error|fatal): ")
_LABEL = re.compile(r"\s*(\d+): ")


@dataclass(frozen=True)
class _Started:
    """A step that was started, when, and its nodes in the order of its tasks."""

    program: Program
    time: float
    nodes: tuple[Node, ...]


class ProbeStep:
    """Examination of the nodes of `plan` within ``plan.timeout`` seconds; `run` fills ``seen``.

    Parameters
    ----------
    files
        The order to each node; see `hpcml.commands.doctor.directories.look_at`.
    """

    def __init__(self, plan: Plan, files: Mapping[str, str]) -> None:
        self.seen = {node.name: NodeFacts() for node in plan.nodes}
        self.controller = ""
        self._plan = plan
        self._files = files
        self._inbox: Inbox = queue.SimpleQueue()
        self._steps: list[_Started] = []
        self._past: list[_Started] = []
        self._offers: dict[str, Offer] = {}
        self._sent: dict[str, float] = {}  # when the orders were sent that are answered with a clock
        self._back: dict[str, Future[dict[str, str]]] = {}
        self._pool = ThreadPoolExecutor(_CONNECTIONS, thread_name_prefix="hpcml-doctor")

    def run(self) -> StepFacts:
        """Start the step, take the messages of the probes, and end it.

        Raises
        ------
        CommandError
            srun cannot be started.
        """
        deadline = time.monotonic() + self._plan.timeout
        try:
            with offered_addresses() as offer:
                self._start(self._plan.nodes, offer)
                self._take_until(min(deadline, self._late()))
                if self._silent() and not self._is_done():
                    self._restart(offer)
                    self._take_until(min(deadline, self._late()))
                if not self._silent():
                    self._take_until(deadline)
        finally:
            self._stop()
        return self._describe()

    def _late(self) -> float:
        return time.monotonic() + self._plan.timeout / 3

    def _take_until(self, deadline: float) -> None:
        """Take messages until all has been sent, the steps have ended, or `deadline`."""
        while time.monotonic() < deadline and not self._is_done():
            self._take(min(deadline, time.monotonic() + 0.2))
            self._choose_controller()
            if self._inbox.empty() and all(step.program.status is not None for step in self._steps):
                return

    def _is_done(self) -> bool:
        return all(facts.is_complete for facts in self.seen.values())

    def _silent(self) -> set[str]:
        return {name for name, facts in self.seen.items() if facts.start_seconds is None}

    # -- the steps -----------------------------------------------------------------------------------------------
    def _start(self, nodes: tuple[Node, ...], offer: Offer) -> None:
        probe = python_module(self._plan, "hpcml.commands.doctor.probe")
        environment = step_environment(self._plan.environment)
        for members, command in worker_steps(self._plan, nodes, probe):
            log = self._plan.run_dir / f"probe-{len(self._past) + len(self._steps)}.log"
            step = _Started(Program("probe", command, environment, self._inbox, log), time.monotonic(), members)
            self._steps.append(step)
            step.program.send({"offer": offer, "files": self._files})

    def _restart(self, offer: Offer) -> None:
        """Examine the nodes that have answered in a step without the silent ones, and each of these by itself."""
        silent = self._silent()
        for step in self._steps:
            step.program.terminate()
        self._past, self._steps = self._steps, []
        self._offers, self.controller = {}, ""
        for facts in self.seen.values():
            facts.controller_reached = facts.reached_back = None
        answering = tuple(node for node in self._plan.nodes if node.name not in silent)
        if answering:
            self._start(answering, offer)
        for node in [node for node in self._plan.nodes if node.name in silent][:_OWN_STEPS]:
            self._start((node,), offer)

    def _stop(self) -> None:
        steps = [*self._past, *self._steps]
        for step in steps:
            step.program.close()
        end = time.monotonic() + _STOP_SECONDS
        for step in steps:
            if not step.program.wait(end):
                step.program.terminate()
        for step in steps:
            step.program.stop(_STOP_SECONDS)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _describe(self) -> StepFacts:
        steps = [*self._past, *self._steps]
        for step in steps:
            text = step.program.log_tail(1000)
            for rank, node in enumerate(step.nodes):
                facts = self.seen[node.name]
                if not facts.is_complete:
                    facts.log = lines_about(node.name, rank, text) or facts.log
        refused = all(step.program.status == SLURM_FAILED for step in steps)
        return StepFacts(self._plan.timeout, refused, steps[-1].program.log_tail(_LOG_LINES))

    # -- messages ------------------------------------------------------------------------------------------------
    def _take(self, until: float) -> None:
        """Take the next message, and the results of connections that have been tried."""
        for name in [name for name, tried in self._back.items() if tried.done()]:
            self.seen[name].reached_back = self._back.pop(name).result()
        try:
            program, message = self._inbox.get(timeout=max(until - time.monotonic(), 0.001))
        except queue.Empty:
            return
        started = [step.time for step in self._steps if step.program is program]
        if started and message is not None and message.get("node") in self.seen:
            self._note(message["node"], message, {"start": started[0], **self._sent})

    def _note(self, name: str, message: dict[str, Any], sent: Mapping[str, float]) -> None:
        note(self.seen[name], message, time.time(), {to: time.monotonic() - then for to, then in sent.items()})
        if "offer" in message:
            self._offers[name] = message["offer"]
            self._back[name] = self._pool.submit(_try, message["offer"])

    def _choose_controller(self) -> None:
        """Order all nodes to try the addresses of the controller's node, as soon as that offers them."""
        lost = {name for name, facts in self.seen.items() if facts.offer_error}
        name = controller_node(self._plan, lost | (self._silent() if self._past else set())).name
        if not self.controller and name in self._offers:
            self.controller = name
            self._sent["probe"] = time.monotonic()
            for step in self._steps:
                step.program.send({"probe": self._offers[name]})


def _try(offer: Offer) -> dict[str, str]:
    return reach(offer["addresses"], bytes.fromhex(offer["token"]), TIMEOUTS)


def lines_about(node: str, rank: int, log: str, lines: int = 3) -> str:
    """Return the last lines of srun's log about one node: its task's own, and those that name the node.

    The name and the program that reports are left out, so that nodes with the same fault have the same lines.

    Examples
    --------
    >>> from hpcml.commands.doctor.step import lines_about
    >>> log = "0: /bin/python: not found\\nsrun: error: launch failed on node n2: timeout\\nsrun: aborted\\n"
    >>> lines_about("n1", 0, log), lines_about("n2", 1, log)
    ('/bin/python: not found', 'launch failed: timeout')
    """
    found = []
    name = rf"(?<![\w.-]){re.escape(node)}(?![\w-])"
    for line in log.splitlines():
        label = _LABEL.match(line)
        if label and int(label[1]) == rank:
            found.append(line[label.end() :])
        elif not label and re.search(name, line):
            found.append(re.sub(rf"( on node)? ?{name}", "", line.strip()))
    return "\n".join(_REPORTER.sub("", line).lstrip(": ") for line in found[-lines:])
