"""World of MPI that the engines are, rank by rank: begun with them, and begun again where one of them ends.

::

    World ── srun --mpi=… ──> holders of the ranks' places ──┐
      └── {"world": …} ──> launchers of engines ── fork ──> engines take the places: MPI.Init

An MPI library cannot go on without one of its ranks, nor take another in, and ends the others within seconds. So
all engines are replaced; the launchers, the modules that they have imported and the data on the nodes stay. The
holders are a step apart from that of the launchers, for Slurm kills the step of a rank that dies.
"""

import logging
import os
import time
from collections.abc import Collection
from typing import TYPE_CHECKING

from hpcml.engines.ipyparallel.fleet import Fleet
from hpcml.engines.nodes.rank_step import RankStep
from hpcml.engines.plan import Plan
from hpcml.slurm.hostlist import compress
from hpcml.slurm.node_states import lost_nodes
from hpcml.slurm.nodes import Node
from hpcml.slurm.process import Program

if TYPE_CHECKING:
    from hpcml.engines.ipyparallel.workers import EngineWorkers

__all__ = ["World"]

log = logging.getLogger("hpcml")

ANSWER_SECONDS = 5.0  # in which launchers must answer the order to begin a world
FAILED_STARTS = 3  # so many worlds in a row that end before all ranks are there, and no other is begun


class World:
    """The engines of a run as ranks; one thread uses it at a time, but for `end`.

    ``failure`` is why no world can be begun, "" where one can.
    """

    def __init__(self, plan: Plan, fleet: Fleet) -> None:
        self._plan = plan
        self._fleet = fleet
        self._token = os.urandom(8).hex()
        self._number = 0
        self._failed_starts = 0
        self._size = 0
        self._began = 0.0
        self._unanswered: set[str] = set()  # launchers that have not answered the present order
        self._lost: set[str] = set()
        self._present = {node.name for node in plan.nodes}  # whose launcher forks engines when it is ordered to
        self._holders: Program | None = None
        self._reason = ""
        self.failure = ""
        first = 0
        self._firsts: dict[str, int] = {}
        for node in plan.nodes:
            self._firsts[node.name] = first
            first += node.slots
        self._stride = first

    def prepare(self) -> None:
        """Find what starts the ranks; raises EngineError where nothing does."""
        self._step = RankStep(self._plan)

    def add_node(self, name: str) -> None:
        """Note that a launcher is ready to fork; one that has been started again needs another world."""
        if name not in self._present:
            self._present.add(name)
            self._reason = self._reason or f"the workers' step on {name} was started again"

    def note_answer(self, name: str) -> None:
        """Note that a launcher answers."""
        self._unanswered.discard(name)
        self._lost.discard(name)

    def remove_nodes(self, names: Collection[str], reason: str) -> None:
        """Note that launchers have ended."""
        self._present -= set(names)
        self._reason = self._reason or reason

    def end(self, reason: str, engine: int | None = None, by_order: bool = False) -> None:
        """End the present world, unless `engine` was of a former one; with `by_order`, that is no fault."""
        if engine is not None and engine < (self._number - 1) * self._stride:
            return
        if by_order:
            self._failed_starts = -1
        self._reason = self._reason or reason

    def note_end(self, program: Program) -> None:
        """Note the end of a program, of the holders perhaps: the launcher of MPI has lost a rank, or a node."""
        if program is self._holders and not self._reason:
            self._lost |= lost_nodes(program.log_tail(50))
            self.end(f"the step of the ranks ended with status {program.status}")

    def look(self, workers: "EngineWorkers") -> None:
        """Begin a world where there is none, and all launchers that are not lost are there."""
        if workers.ready == self._size:  # all ranks are there
            self._failed_starts = -1
        elif not self._reason:
            self._look_for_late(workers)
        if self.failure or not self._reason:
            return
        nodes = self._nodes()
        if not nodes or {node.name for node in nodes} - self._present:
            return
        self._failed_starts += 1
        explanation = self._explain() if self._failed_starts else ""
        if explanation or self._failed_starts >= FAILED_STARTS:
            self.failure = explanation or f"the ranks of MPI have ended again and again: {self._reason}"
            if self._holders is not None:
                self.failure += f"; {self._holders.log} ends with\n{self._holders.log_tail(10)}"
            workers.fail(self.failure)
            return
        log.warning("%s: all workers are started again, for they are ranks of MPI", self._reason)
        self.begin(workers)

    def _look_for_late(self, workers: "EngineWorkers") -> None:
        """End a world that is not complete after its time, or at once one that has lost a launcher."""
        seconds = time.monotonic() - self._began
        if self._unanswered and seconds > ANSWER_SECONDS:
            self._lost |= self._unanswered
            self.end(f"the launcher on {compress(sorted(self._unanswered))} does not answer", by_order=True)
        elif seconds > self._plan.timeout:
            self.end(f"{workers.ready} of {self._size} ranks were there after {self._plan.timeout:g} s")

    def _nodes(self) -> tuple[Node, ...]:
        """Return the nodes of the launchers that there are, in the order of the ranks."""
        launched = {node.name for nodes, _ in self._fleet.launchers for node in nodes} - self._lost
        return tuple(node for node in self._plan.nodes if node.name in launched)

    def _explain(self) -> str:
        programs = [self._holders, *(program for _, program in self._fleet.launchers)]
        return self._step.explain("\n".join(program.log_tail(200) for program in programs if program is not None))

    def begin(self, workers: "EngineWorkers") -> None:
        """Replace all engines by the ranks of another world."""
        nodes = self._nodes()
        former = self._holders
        self._began = time.monotonic()
        self._unanswered = {node.name for node in nodes} if self._number else set()  # at first they still import
        reason = self._reason
        self._reason = ""
        number = self._number
        self._number += 1
        engines = {
            node.name: {self._firsts[node.name] + slot + number * self._stride: slot for slot in range(node.slots)}
            for node in nodes
        }
        workers.replace_all(engines, reason)
        meeting = f"hpcml-{self._token}-{number}"
        self._size = sum(node.slots for node in nodes)
        self._fleet.send({"world": {"number": number, "meeting": meeting, "size": self._size}})
        if former is not None:
            former.terminate()
        self._holders = self._fleet.start_ranks(self._step.command(nodes, meeting), self._step.environment)
