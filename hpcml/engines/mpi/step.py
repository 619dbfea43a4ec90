"""Steps of the relays and workers: their programs in the driver, and the orders that all launchers get."""

import contextlib
import logging
import time
from collections.abc import Collection, Iterable, Sequence

from hpcml.engines.mpi.link import DriverLink
from hpcml.engines.mpi.message_types import NodeShare, StartOrder
from hpcml.engines.mpi.packet import Kind, Packet
from hpcml.engines.mpi.socket_link import DriverSocketLink
from hpcml.engines.nodes.curve import KeyPair, new_keys
from hpcml.engines.nodes.messages import DataOrder
from hpcml.engines.nodes.mpi_explanation import explain
from hpcml.engines.nodes.mpi_plugin import Found, Library, find_mpi, library_variables
from hpcml.engines.nodes.steps import container_options, idle_steps, python_module
from hpcml.engines.plan import Plan
from hpcml.errors import CommandError
from hpcml.slurm.commands import signal_step, step_environment, worker_step
from hpcml.slurm.nodes import Node
from hpcml.slurm.process import Inbox, Program, run
from hpcml.slurm.slots import thread_variables

__all__ = ["MpiStep", "StepStarter"]

log = logging.getLogger("hpcml")

CANCEL_SECONDS = 5.0
CONTINUED_SECONDS = 2.0  # for the end of tasks that were stopped
GENERATIONS_PER_START = 1_000_000  # more than a slot has workers in one step


class MpiStep:
    """A step of relays and workers that has been started.

    ``connected`` are the nodes whose launcher has sent a message, and ``address`` is that of the link.

    Parameters
    ----------
    vain
        Number of starts, in a row, before this one on these nodes that came to nothing.
    is_attempt
        The node of this step was lost, and may not be back.
    """

    def __init__(
        self, program: Program, nodes: tuple[Node, ...], hub: str, *, vain: int = 0, is_attempt: bool = False
    ) -> None:
        self.program = program
        self.nodes = nodes
        self.hub = hub
        self.vain = vain
        self.is_attempt = is_attempt
        self.began = time.monotonic()
        self.connected: set[str] = set()
        self.has_begun = False  # all relays have answered
        self.number = ""  # Slurm's, with that of the job; "" without Slurm
        self.address = ""
        self.error = ""  # why it cannot serve
        self.link: DriverLink | DriverSocketLink | None = None

    @property
    def names(self) -> frozenset[str]:
        """Names of the nodes."""
        return frozenset(node.name for node in self.nodes)

    def ask(self) -> None:
        """Ask the relays whether they are alive."""
        if self.link is not None:
            self.link.send(Packet(Kind.QUESTION))

    def unlink(self) -> None:
        """Close the link."""
        former, self.link = self.link, None
        if former is not None:
            former.close()


class StepStarter:
    """Starts steps of relays and workers, and ends them.

    Parameters
    ----------
    inbox
        Queue for the launchers' messages.
    data
        Directories that the launchers make.
    """

    def __init__(self, plan: Plan, inbox: Inbox, data: DataOrder) -> None:
        self.plan = plan
        self.keys: KeyPair = new_keys()
        self.environment = step_environment(plan.environment)
        self.environment.pop("PYTHONWARNINGS", None)  # it is for the script
        self._starts = 0
        self._inbox = inbox
        self._data = data
        self._mpi = Found(Library("MPI"), "none")
        self._idle: list[Program] = []
        self._programs: list[Program] = []  # of steps that may still run
        self._first: dict[str, int] = {}
        first = 0
        for node in plan.nodes:
            self._first[node.name] = first
            first += node.slots

    def _hub(self, nodes: Collection[Node]) -> str:
        """Return the name of the node whose relay has the link: the driver's, else the first."""
        here = self.plan.allocation.launch_node if self.plan.allocation is not None else ""
        names = [node.name for node in nodes]
        return here if here in names else names[0]

    def find_plugin(self, nodes: Collection[Node]) -> None:
        """Choose Slurm's plugin for MPI; raises EngineError where none fits."""
        if len(nodes) > 1 and self._mpi.plugin == "none":
            self._mpi = find_mpi(self.plan.environment, timeout=min(self.plan.timeout / 3, 30))
            self.environment |= library_variables(self._mpi.library, self.environment)
            log.debug("%s, by srun --mpi=%s", self._mpi.library, self._mpi.plugin)

    def explain(self, text: str) -> str:
        """Return why the ranks do not find each other, "" where `text` does not say; see `explanation`."""
        return explain(text, *self._mpi)

    def start(self, nodes: tuple[Node, ...], *, vain: int = 0, is_attempt: bool = False) -> MpiStep:
        """Start a step on `nodes`; raises HpcmlError."""
        self.find_plugin(nodes)
        command = self._command(nodes)
        log.debug("starting %s", " ".join(command))
        threads = thread_variables(nodes[0].cpus_per_slot)
        name = f"workers-{nodes[0].name if is_attempt else self._starts}"  # attempts may be many
        environment = {**self.environment, **threads}
        program = Program(name, command, environment, self._inbox, self.plan.run_dir / f"{name}.log")
        self._forget_ended()
        self._programs.append(program)
        hub = self._hub(nodes)
        program.send({"start": self._order(nodes, hub)})
        self._starts += 1
        return MpiStep(program, nodes, hub, vain=vain, is_attempt=is_attempt)

    def _forget_ended(self) -> None:
        for program in [program for program in self._programs if program.status is not None]:
            program.stop(0.1)
            self._programs.remove(program)

    def _command(self, nodes: Sequence[Node]) -> list[str]:
        launcher = python_module(self.plan, f"{__package__}.launcher")
        if self.plan.allocation is None:
            return [*launcher, nodes[0].name, *self.plan.preload]
        names = [node.name for node in nodes]
        plugin = self._mpi.plugin if len(names) > 1 else "none"
        options = (*self.plan.gpus.step_options(names), *container_options(self.plan))
        words = [*launcher, "", *self.plan.preload]
        het_group = nodes[0].het_group if self.plan.allocation.het_groups > 1 else None
        return worker_step(names, words, het_group, together=True, mpi=plugin, options=options)

    def _order(self, nodes: Iterable[Node], hub: str) -> StartOrder:
        return {
            "nodes": {node.name: self._share(node) for node in nodes},
            "hub": hub,
            "keys": [key.decode() for key in self.keys],
            "directory": self.plan.directory,
            "data": self._data,
            "generation": self._starts * GENERATIONS_PER_START,
        }

    def _share(self, node: Node) -> NodeShare:
        return {
            "slots": node.slots,
            "cpus_per_slot": node.cpus_per_slot,
            "cpus": node.cpus,
            "first": self._first[node.name],
        }

    def start_idle_steps(self, names: Collection[str]) -> None:
        """Start steps without work on some nodes, which send their names: sbcast needs one without lost nodes."""
        nodes = [node for node in self.plan.nodes if node.name in names]
        for _, command in idle_steps(self.plan, nodes):
            path = self.plan.run_dir / "data.log"
            self._idle.append(Program("data", command, self.environment, self._inbox, path))

    def is_idle(self, program: Program) -> bool:
        """Return whether a program is a step without work."""
        return program in self._idle

    def stop(self, steps: Sequence[MpiStep], grace: float) -> None:
        """End all programs by the end of their input, scancel, SIGTERM, and SIGKILL, `grace` seconds apart.

        srun kills the tasks of its step at SIGTERM, as scancel without a signal does (24.11). By signals, stopped
        tasks are continued, and end in order; so the `steps` that run get these first.
        """
        programs = (*self._programs, *self._idle)
        ends = (Program.close, lambda program: self._cancel(program, steps), Program.terminate)
        for end in ends:
            for program in [program for program in programs if program.status is None]:
                end(program)
            deadline = time.monotonic() + grace
            if all(program.wait(deadline) for program in programs):
                break
        for program in programs:
            program.stop(0.1 if program.status is None else grace)

    def _cancel(self, program: Program, steps: Sequence[MpiStep]) -> None:
        """Have the tasks of a program's step end in order; without its number, end the program."""
        numbers = [step.number for step in steps if step.program is program and step.number]
        if not numbers:
            program.terminate()
            return
        with contextlib.suppress(CommandError):  # slurmctld may be out of reach
            run(signal_step(numbers[0], "CONT"), self.environment, CANCEL_SECONDS)
            # Tasks that were stopped end now, and so do those that wait for them. At the first rank that TERM
            # ends, Slurm's plugin pmix kills the whole step.
            if not program.wait(time.monotonic() + CONTINUED_SECONDS):
                run(signal_step(numbers[0], "TERM"), self.environment, CANCEL_SECONDS)
