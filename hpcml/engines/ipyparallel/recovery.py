"""Programs that have ended in the midst of a run, and what is started in their place."""

import logging
import math
import time
from collections import Counter
from typing import TYPE_CHECKING

from hpcml.engines.ipyparallel.controller_address import Address
from hpcml.engines.ipyparallel.fleet import Fleet
from hpcml.engines.ipyparallel.liveness import Liveness
from hpcml.engines.ipyparallel.node_data import NodeData
from hpcml.engines.plan import Plan
from hpcml.slurm.hostlist import compress
from hpcml.slurm.nodes import Node
from hpcml.slurm.process import Program

if TYPE_CHECKING:
    from hpcml.engines.ipyparallel.workers import EngineWorkers

__all__ = ["Recovery"]

log = logging.getLogger("hpcml")

CONTROLLER_RESTARTS = 3  # more in one run are no accident
STEP_RESTARTS = 3  # on one node
SILENT_SECONDS = 20.0  # in which a node's launcher speaks when its step has been started again


class Recovery:
    """Starts the controller and the launchers' steps again; what they had in flight is run again.

    ``given_up`` counts the slots whose engines died again and again.
    """

    def __init__(self, plan: Plan, fleet: Fleet, address: Address, pulse: Liveness, data: NodeData) -> None:
        self._plan = plan
        self._fleet = fleet
        self._address = address
        self._pulse = pulse
        self._data = data
        self._controllers = 0
        self._starts: Counter[str] = Counter()  # for each node, how often its step was started again
        self._awaited: dict[str, float] = {}  # nodes whose step was started again, and when they count as lost
        self._speaking: set[str] = set()  # nodes that have spoken since
        self._apart: set[str] = set()  # nodes that did not begin together: each gets a step of its own
        self.given_up = 0
        self.deadline = 0.0  # by which a worker must have come back; 0 while some are there

    def spoke(self, node: str) -> None:
        """Note that the launcher of `node` has spoken."""
        if self._awaited.pop(node, None) is not None:
            self._speaking.add(node)

    def judge(self, workers: "EngineWorkers", ended: Program | None, silent: bool) -> None:
        """Replace what has ended or fallen silent; give up where nothing can be done."""
        fleet = self._fleet
        lost = silent or ended is fleet.controller
        nodes = fleet.nodes_of(ended) if ended is not None else ()
        if nodes:
            assert ended is not None
            self._replace_step(workers, ended, nodes)
        elif lost and self._controllers < CONTROLLER_RESTARTS and not fleet.alone():
            self._replace_controller(workers, silent)
        self._end_silent_steps()
        if workers.slots:
            self.deadline = 0.0
        if ended is not None and fleet.over():
            workers.fail(
                f"the {ended.name} step ended with status {ended.status}; its log, {ended.log}, ends with\n"
                f"{ended.log_tail()}"
            )
        elif not workers.slots and not self._awaited and self.given_up:
            workers.fail(f"every worker has ended again and again; the logs are in {self._plan.run_dir}")
        elif not workers.slots and 0 < self.deadline < time.monotonic():
            workers.fail(f"no worker has come back; the logs are in {self._plan.run_dir}")

    def _replace_step(self, workers: "EngineWorkers", ended: Program, nodes: tuple[Node, ...]) -> None:
        """Start the launchers of a step that has ended again, on the nodes that had workers until then."""
        names = {node.name for node in nodes}
        if names & self._awaited.keys():  # it has ended before all have spoken: one node may keep back the others
            self._apart |= names
        known = workers.having_engines() | self._awaited.keys() | self._speaking
        chosen = tuple(node for node in nodes if node.name in known and self._starts[node.name] < STEP_RESTARTS)
        again = {node.name for node in chosen}
        workers.lose(names, f"the workers' step ended with status {ended.status}")
        self._fleet.drop(ended)
        self._data.forget(names, awaited=again)
        self._speaking -= names
        for name in names:
            self._awaited.pop(name, None)
        if not chosen:
            return
        where = compress(sorted(again))
        log.warning("the workers' step ended with status %s: starting another on %s", ended.status, where)
        self._starts.update(again)
        self._fleet.start_again(chosen, apart=bool(again & self._apart))
        now = time.monotonic()
        self.deadline = now + self._plan.timeout
        self._awaited |= dict.fromkeys(again, now + min(SILENT_SECONDS, self._plan.timeout / 3))

    def _end_silent_steps(self) -> None:
        """End steps of nodes that do not come back, for srun holds back a step until all its nodes are there.

        They are started again, the nodes that speak together, those of a step that is silent as a whole apart.
        """
        now = time.monotonic()
        late = {name for name, when in self._awaited.items() if when < now}
        for nodes, launcher in self._fleet.launchers if late else ():
            silent = {node.name for node in nodes} & late
            if silent and len(silent) == len(nodes) > 1:
                self._apart |= silent
                self._awaited |= dict.fromkeys(silent, math.inf)  # until the end of the step is seen
            else:
                for name in silent:
                    del self._awaited[name]
                self._data.forget(silent, awaited=set())
            if silent:
                launcher.terminate()

    def _replace_controller(self, workers: "EngineWorkers", silent: bool) -> None:
        """Start another controller: on the same node, or when that is silent on another."""
        self._controllers += 1
        self.deadline = time.monotonic() + self._plan.timeout
        home, controller = self._fleet.home, self._fleet.controller
        if silent:
            log.warning("the controller on %s no longer answers: starting another elsewhere", home)
            self._address.forget(home)
            controller.terminate()
        else:
            log.warning("the controller ended with status %s: starting another", controller.status)
        self._fleet.send({"engine": None})  # otherwise they run tasks whose results are lost
        workers.disconnect("the controller of the workers is gone")
        self._fleet.restart_controller({home} if silent else set())
        self._pulse.end()
