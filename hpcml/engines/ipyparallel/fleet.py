"""The programs of one run: the controller and the launchers, started, spoken to and ended together."""

import logging
import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from hpcml.engines.ipyparallel.commands import controller_home, holder_steps, programs
from hpcml.engines.plan import Plan
from hpcml.slurm.commands import step_environment
from hpcml.slurm.hostlist import compress
from hpcml.slurm.nodes import Node
from hpcml.slurm.process import Inbox, Program
from hpcml.slurm.slots import thread_variables

__all__ = ["Fleet"]

log = logging.getLogger("hpcml")

GENERATIONS = 1_000_000  # more engines than one slot can have before its step is started again


class Fleet:
    """The controller's step and the launchers' steps.

    Parameters
    ----------
    inbox
        Where the programs' messages go.
    """

    def __init__(self, plan: Plan, inbox: Inbox) -> None:
        self.plan = plan
        self._inbox = inbox
        self.environment = step_environment(plan.environment)
        self.environment.pop("PYTHONWARNINGS", None)  # meant for the script, and fatal to ipyparallel
        self.ended: list[Program] = []
        self.launchers: list[tuple[tuple[Node, ...], Program]] = []
        self._programs: list[Program] = []
        self._orders: list[dict[str, Any]] = []  # sent to all launchers
        self._left_out = False
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
    def home(self) -> str:
        """The node of the controller."""
        return controller_home(self.plan, self._lost).name

    def restart_controller(self, lost: Collection[str]) -> None:
        """Start another controller in place of one that is gone; not on the nodes `lost`."""
        self._lost |= set(lost)
        command = programs(self.plan, controller_home(self.plan, self._lost))[0]
        self.controller = self._start("controller", command, self.environment)

    def _start(self, name: str, command: Sequence[str], environment: dict[str, str]) -> Program:
        log.debug("starting %s", " ".join(command))
        path = self.plan.run_dir / f"{name}.log"
        program = Program(name, command, environment, self._inbox, path)
        self._programs.append(program)
        return program

    def _launch(self, nodes: tuple[Node, ...], command: Sequence[str]) -> None:
        """Start the launchers of `nodes`, and tell them what the others know already."""
        threads = thread_variables(nodes[0].cpus_per_slot)
        launcher = self._start(f"workers-{self._launched}", command, {**self.environment, **threads})
        self._launched += 1
        self.launchers.append((nodes, launcher))
        for message in self._orders:
            start = message.get("start")
            launcher.send({"start": {**start, "generation": self._generation}} if start else message)

    def tell(self, message: dict[str, Any]) -> None:
        """Send a message to all launchers, and to those that are started later."""
        self._orders.append(message)
        self.send(message)

    def send(self, message: dict[str, Any]) -> None:
        """Send a message to all launchers that there are."""
        for _, launcher in self.launchers:
            launcher.send(message)

    def leave_out(self, silent: Collection[str]) -> None:
        """Start anew, once, without nodes that are `silent` or out of reach.

        srun holds back a step until all its nodes are there.
        """
        if self._left_out:
            return
        self._left_out = True
        for nodes, launcher in list(self.launchers):
            speaking = tuple(node for node in nodes if node.name not in silent)
            if speaking and len(speaking) < len(nodes):
                log.warning("starting without %s", compress(sorted(silent)))
                launcher.terminate()
                self.drop(launcher)
                self.start_again(speaking)

    def nodes_of(self, launcher: Program) -> tuple[Node, ...]:
        """Return the nodes of a launchers' step, none for any other program."""
        return next((nodes for nodes, program in self.launchers if program is launcher), ())

    def drop(self, launcher: Program) -> None:
        """Count a launchers' step no longer."""
        self.launchers = [(nodes, program) for nodes, program in self.launchers if program is not launcher]

    def start_again(self, nodes: tuple[Node, ...], apart: bool = False) -> None:
        """Start the launchers of `nodes` once more, in one step or in one each; their engines have new ids."""
        self._generation += GENERATIONS
        for members in [(node,) for node in nodes] if apart else [nodes]:
            for group, command in programs(replace(self.plan, nodes=members))[1]:
                self._launch(group, command)

    def hold(self, names: Collection[str]) -> None:
        """Start steps on some nodes that only say their names, each in a message."""
        nodes = [node for node in self.plan.nodes if node.name in names]
        for _, command in holder_steps(self.plan, nodes):
            self._start("data", command, self.environment)

    def alone(self) -> bool:
        """Tell whether no launcher is left."""
        return all(launcher in self.ended for _, launcher in self.launchers)

    def over(self) -> bool:
        """Tell whether no worker can be reached any more: the controller has ended, or all launchers."""
        return self.controller in self.ended or self.alone()

    def stop(self, grace: float) -> None:
        """End the programs, all at once, each step of it after `grace` seconds."""
        for end in (Program.close, Program.terminate):
            for program in self._programs:
                end(program)
            deadline = time.monotonic() + grace
            if all(program.wait(deadline) for program in self._programs):
                break
        for program in self._programs:
            program.stop(0.1 if program.status is None else grace)  # srun may wait for a slurmctld that is silent
