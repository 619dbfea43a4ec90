"""Recovery of the MPI engine: another step in place of one that has ended, and lost nodes that come back.

MPI has no way to add a rank: a node that is back gets a step of its own, with a link of its own, while the others
run on.
"""

import logging
import time
from collections.abc import Set
from dataclasses import dataclass

from hpcml.engines.mpi.answers import Answers
from hpcml.engines.mpi.step import MpiStep, StepStarter
from hpcml.engines.mpi.workers import MpiWorkers
from hpcml.engines.nodes.mpi_explanation import explain_end, has_crashed
from hpcml.engines.nodes.node_data import NodeData
from hpcml.engines.plan import Plan
from hpcml.errors import HpcmlError
from hpcml.slurm.node_states import lost_nodes
from hpcml.slurm.nodes import Node
from hpcml.slurm.process import Program

__all__ = ["MpiRecovery"]

log = logging.getLogger("hpcml")

KILLED_STATUS = 128  # that srun adds the number of a signal to
LINES = 1000  # of a log, in which the reason of its end is looked for
STARTS = 4  # of another step, in a row, before the relays have answered
RESTART_SECONDS = 10.0  # from the start of another step to its relays' answers; or three times the first start
FIRST_PAUSE_SECONDS = 5.0  # before a lost node is tried again; each further pause is twice as long
LONGEST_PAUSE_SECONDS = 60.0


@dataclass
class _LostNode:
    node: Node
    pause: float
    due: float


class MpiRecovery:
    """The steps that run now, and the nodes that are lost; used by one thread at a time.

    ``error`` is why no worker can come, "" while some may. ``is_watching`` is whether the start is over.
    """

    def __init__(self, plan: Plan, starter: StepStarter, workers: MpiWorkers, data: NodeData) -> None:
        self.steps: list[MpiStep] = []
        self.answers = Answers()
        self.error = ""
        self.is_watching = False
        self.is_stopping = False
        self._plan = plan
        self._starter = starter
        self._workers = workers
        self._data = data
        self._lost: dict[str, _LostNode] = {}
        self._limit = RESTART_SECONDS
        self._deadline = 0.0  # when a worker must have come back, 0 while some are there

    def step_of(self, program: Program) -> MpiStep | None:
        """Return the step of a program, None where it has been replaced."""
        return next((step for step in self.steps if step.program is program), None)

    def note_relay(self, node: str) -> None:
        """Note that the relay of a node has answered."""
        self.answers.note_relay(node)
        for step in self.steps:
            if not step.has_begun and self.answers.has_all(step.names):
                step.has_begun = True
                step.vain = 0
                self._limit = max(self._limit, 3 * (time.monotonic() - step.began))
                if step.is_attempt:
                    log.warning("%s is back: its slots are used again", step.hub)
                for name in step.names:
                    self._lost.pop(name, None)

    def note_error(self, step: MpiStep, error: str) -> None:
        """Note why a step cannot serve: it is ended, and so is a start."""
        step.error = error
        if self.is_watching:
            step.program.terminate()
        else:
            self.error = error

    # -- steps that end ------------------------------------------------------------------------------------------
    def end(self, program: Program) -> None:
        """Start another step in place of one that has ended; give up where that does not help."""
        step = self.step_of(program)
        if step is None:
            return
        status = program.status
        self._remove(step, f"the workers' step ended with status {status}")
        if step.is_attempt and not step.has_begun:
            lost_node = self._lost[step.hub]
            lost_node.due = min(lost_node.due, time.monotonic() + lost_node.pause)
            return
        if self.is_stopping:
            return
        said = program.log_tail(LINES)
        lost = lost_nodes(said) & step.names
        error = step.error or self._starter.explain(said)
        if self.is_watching:
            error = error or explain_end(said)
        if error or not self._may_start_again(step, status, said):
            self._give_up(step, error or f"the workers' step ended with status {status}")
            return
        without = f" without {', '.join(sorted(lost))}" if lost and lost != step.names else ""
        log.warning("the workers' step ended with status %s: starting another%s", status, without)
        self._start_without(step, lost)

    def _may_start_again(self, step: MpiStep, status: int | None, said: str) -> bool:
        """Return whether to start another step; during the start, only after one that was killed or crashed."""
        was_killed = status is not None and not 0 <= status <= KILLED_STATUS
        return (self.is_watching or was_killed or has_crashed(said)) and step.vain < STARTS

    def _give_up(self, step: MpiStep, reason: str) -> None:
        """Use the other steps alone; without any, no worker can be reached any more."""
        if self.steps and self.is_watching:
            log.warning("%s: its nodes are tried again later", reason)
            self._lose(step.nodes)
            return
        self.error = reason
        if self.is_watching:
            program = step.program
            self._workers.fail(f"{reason}; its log, {program.log}, ends with\n{program.log_tail()}")

    def _remove(self, step: MpiStep, reason: str) -> None:
        """Remove a step that has ended, or that is ended now."""
        self.steps.remove(step)
        step.unlink()
        self.answers.forget(step.names)
        self._workers.lose(step.names, reason)
        self._data.remove_nodes(step.names, awaited=set())
        if step.program.status is None:
            step.program.close()
            step.program.terminate()

    def _start_without(self, step: MpiStep, lost: Set[str]) -> None:
        """Start the nodes of a step again but for those that are lost, where any other is left."""
        gone = tuple(node for node in step.nodes if node.name in lost)
        left = tuple(node for node in step.nodes if node.name not in lost)
        if left or self.steps:
            self._lose(gone)
        self.start(left or (() if self.steps else step.nodes), vain=step.vain + 1)

    def start(self, nodes: tuple[Node, ...], *, vain: int = 0, is_attempt: bool = False) -> None:
        """Start a step on the nodes of each component of a heterogeneous job: only one would get srun's input."""
        for group in sorted({node.het_group for node in nodes}):
            members = tuple(node for node in nodes if node.het_group == group)
            self._start_step(members, vain=vain, is_attempt=is_attempt)

    def _start_step(self, nodes: tuple[Node, ...], *, vain: int, is_attempt: bool) -> None:
        names = {node.name for node in nodes}
        if self.is_watching:
            self._data.remove_nodes(names, awaited=set() if is_attempt else names)
        try:
            self.steps.append(self._starter.start(nodes, vain=vain, is_attempt=is_attempt))
        except HpcmlError as error:
            if not self.is_watching:
                raise
            self._data.remove_nodes(names, awaited=set())
            self._workers.fail(str(error))

    # -- steps and nodes that are silent -------------------------------------------------------------------------
    def look(self) -> None:
        """Replace steps with nodes that do not answer, try lost nodes again, and ask; called once a second."""
        now = time.monotonic()
        for step in [step for step in self.steps if not step.has_begun and now > step.began + self._limit]:
            self._replace_late(step)
        lost, stuck = self.answers.lost(), self.answers.stuck()
        for step in [step for step in self.steps if step.names & (lost | stuck)]:
            silent = ", ".join(sorted(step.names & (lost | stuck)))
            log.warning("%s no longer answers: starting another step", silent)
            self._remove(step, f"{silent} no longer answers")
            self._start_without(step, lost & step.names)
        self._try_lost_nodes(now)
        self._fail_if_all_are_lost(now)
        is_doubtful = self.answers.ask()
        for step in self.steps:
            step.ask()
            if is_doubtful:
                step.program.send({"alive": True})

    def _replace_late(self, step: MpiStep) -> None:
        """End a step that has not begun: srun may start no task before all nodes are there.

        Where no node has sent a message, or MPI hangs again, each half is started by itself.
        """
        self._remove(step, "the workers' step has not begun")
        silent = step.names - step.connected
        if step.is_attempt:
            return
        missing = ", ".join(sorted(silent or step.names))
        log.warning("%s: no answer within %.0f s of the start: starting another step", missing, self._limit)
        if silent and silent != step.names:
            self._start_without(step, silent)
        elif not silent and not step.vain:  # MPI itself has hung
            self.start(step.nodes, vain=1)
        elif len(step.nodes) == 1:
            self._lose(step.nodes)
        else:
            half = len(step.nodes) // 2
            self.start(step.nodes[:half])
            self.start(step.nodes[half:])

    def _lose(self, nodes: tuple[Node, ...]) -> None:
        """Count nodes as lost, to be tried again later."""
        for node in nodes:
            self._workers.give_up(node.name)
            self._lost[node.name] = _LostNode(node, FIRST_PAUSE_SECONDS, time.monotonic() + FIRST_PAUSE_SECONDS)

    def _try_lost_nodes(self, now: float) -> None:
        """Start a step on each lost node whose pause is over."""
        for lost in [lost for lost in self._lost.values() if lost.due < now]:
            lost.pause = min(2 * lost.pause, LONGEST_PAUSE_SECONDS)
            lost.due = now + self._limit + lost.pause
            self.start((lost.node,), is_attempt=True)

    def _fail_if_all_are_lost(self, now: float) -> None:
        if any(step.has_begun for step in self.steps):
            self._deadline = 0.0
        elif not self._deadline:
            self._deadline = now + self._plan.timeout
        elif now > self._deadline and not self.error:
            self.error = "no worker has come back"
            self._workers.fail(f"{self.error}; the logs are in {self._plan.run_dir}")
