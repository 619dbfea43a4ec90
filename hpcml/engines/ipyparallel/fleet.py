"""Programs of one run: the controller and the launchers are started, sent orders, and ended together."""

import logging
import time
from collections.abc import Collection, Sequence
from dataclasses import replace

from hpcml.engines.ipyparallel.commands import controller_node, programs
from hpcml.engines.ipyparallel.message_types import Order
from hpcml.engines.nodes.steps import idle_steps
from hpcml.engines.plan import Plan
from hpcml.slurm.commands import step_environment
from hpcml.slurm.hostlist import compress
from hpcml.slurm.nodes import Node
from hpcml.slurm.process import Inbox, Program
from hpcml.slurm.slots import thread_variables

__all__ = ["Fleet"]

log = logging.getLogger("hpcml")

# Generations of engines from one start of a step to the next: more than a slot can have in between, so that no id
# of an engine is used twice.
GENERATIONS_PER_START = 1_000_000


class Fleet:
    """The controller's step and the launchers' steps.

    Parameters
    ----------
    inbox
        Queue for the programs' messages.
    """

    def __init__(self, plan: Plan, inbox: Inbox) -> None:
        self.plan = plan
        self._inbox = inbox
        self.environment = step_environment(plan.environment)
        self.environment.pop("PYTHONWARNINGS", None)  # it is for the script, and fatal to ipyparallel
        self.ended: list[Program] = []
        self.launchers: list[tuple[tuple[Node, ...], Program]] = []
        self._programs: list[Program] = []
        self._orders: list[Order] = []  # those for launchers that are started later
        self._restarted_without = False
        self._rank_steps = 0
        self._launched = 0  # launchers' steps, those that have ended included
        self._generation = 0
        self._lost: set[str] = set()

    def start(self) -> None:
        """Start all programs."""
        controller, steps = programs(self.plan)
        for nodes, command in steps:
            self._launch(nodes, command)
        self.controller = self._start("controller", controller, self.environment)

    @property
    def controller_node(self) -> str:
        """Name of the node of the controller."""
        return controller_node(self.plan, self._lost).name

    def restart_controller(self, lost: Collection[str]) -> None:
        """Start another controller in place of one that is gone; not on the nodes `lost`."""
        self._lost |= set(lost)
        command = programs(self.plan, controller_node(self.plan, self._lost))[0]
        self.controller = self._start("controller", command, self.environment)

    def _start(self, name: str, command: Sequence[str], environment: dict[str, str]) -> Program:
        log.debug("starting %s", " ".join(command))
        path = self.plan.run_dir / f"{name}.log"
        program = Program(name, command, environment, self._inbox, path)
        self._programs.append(program)
        return program

    def _launch(self, nodes: tuple[Node, ...], command: Sequence[str]) -> None:
        """Start the launchers of `nodes`, and send them the orders that the others have."""
        threads = thread_variables(nodes[0].cpus_per_slot)
        launcher = self._start(f"workers-{self._launched}", command, {**self.environment, **threads})
        self._launched += 1
        self.launchers.append((nodes, launcher))
        for order in self._orders:
            start = order.get("start")
            launcher.send({"start": {**start, "generation": self._generation}} if start else order)

    def start_ranks(self, command: Sequence[str], environment: dict[str, str]) -> Program:
        """Start the holders of the places of ranks; see `hpcml.engines.ipyparallel.world`."""
        self._rank_steps += 1
        return self._start(f"ranks-{self._rank_steps - 1}", command, environment)

    def send_and_remember(self, order: Order) -> None:
        """Send an order to all launchers, and later to those that are started then."""
        self._orders.append(order)
        self.send(order)

    def send(self, order: Order) -> None:
        """Send an order to all launchers that there are."""
        for _, launcher in self.launchers:
            launcher.send(order)

    def restart_without(self, silent: Collection[str]) -> set[str]:
        """Start steps again, once, without their nodes that are `silent` or out of reach.

        srun starts no task of a step before all its nodes are there. Return the nodes of these steps.
        """
        restarted: set[str] = set()
        if self._restarted_without:
            return restarted
        self._restarted_without = True
        for nodes, launcher in list(self.launchers):
            answering = tuple(node for node in nodes if node.name not in silent)
            if answering and len(answering) < len(nodes):
                log.warning("starting without %s", compress(sorted(silent)))
                launcher.terminate()
                self.drop(launcher)
                self.start_again(answering)
                restarted |= {node.name for node in nodes}
        return restarted

    def nodes_of(self, launcher: Program) -> tuple[Node, ...]:
        """Return the nodes of a launchers' step, none for any other program."""
        return next((nodes for nodes, program in self.launchers if program is launcher), ())

    def drop(self, launcher: Program) -> None:
        """Remove a launchers' step from ``launchers``."""
        self.launchers = [(nodes, program) for nodes, program in self.launchers if program is not launcher]

    def start_again(self, nodes: tuple[Node, ...], one_step_each: bool = False) -> None:
        """Start the launchers of `nodes` once more, in one step or in one each; their engines have new ids."""
        self._generation += GENERATIONS_PER_START
        for members in [(node,) for node in nodes] if one_step_each else [nodes]:
            for group, command in programs(replace(self.plan, nodes=members))[1]:
                self._launch(group, command)

    def start_idle_steps(self, names: Collection[str]) -> None:
        """Start steps without work on some nodes, which send their names: sbcast needs one without lost nodes."""
        nodes = [node for node in self.plan.nodes if node.name in names]
        for _, command in idle_steps(self.plan, nodes):
            self._start("data", command, self.environment)

    def no_launcher_left(self) -> bool:
        """Return whether all launchers have ended."""
        return all(launcher in self.ended for _, launcher in self.launchers)

    def is_unreachable(self) -> bool:
        """Return whether no worker can be reached any more: the controller has ended, or all launchers."""
        return self.controller in self.ended or self.no_launcher_left()

    def stop(self, grace: float) -> None:
        """End the programs, all at once: by the end of their input, SIGTERM, SIGKILL, `grace` seconds apart."""
        for end in (Program.close, Program.terminate):
            for program in self._programs:
                end(program)
            deadline = time.monotonic() + grace
            if all(program.wait(deadline) for program in self._programs):
                break
        for program in self._programs:
            # An srun that is still there may wait for a slurmctld that does not answer.
            program.stop(0.1 if program.status is None else grace)
