"""Recovery of a run from the loss of programs: others are started in their place."""

import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from hpcml.engines.ipyparallel.controller_address import Address
from hpcml.engines.ipyparallel.fleet import Fleet
from hpcml.engines.ipyparallel.liveness import Liveness
from hpcml.engines.nodes.node_data import NodeData
from hpcml.engines.plan import Plan
from hpcml.slurm.hostlist import compress
from hpcml.slurm.nodes import Node
from hpcml.slurm.process import Program

if TYPE_CHECKING:
    from hpcml.engines.ipyparallel.workers import EngineWorkers

__all__ = ["Recovery"]

log = logging.getLogger("hpcml")

CONTROLLER_RESTARTS = 3  # in one run: what ends the controller more often would end it again
STEP_RESTARTS = 3  # on one node
RESTART_SECONDS = 20.0  # from the start of a step to its launcher's first message, when the step was started again


class Recovery:
    """Starts the controller and the launchers' steps again; the tasks of lost workers then run again.

    ``given_up`` counts the slots whose engines died again and again. ``deadline`` is when a worker must have come
    back, 0 while some are there.
    """

    def __init__(self, plan: Plan, fleet: Fleet, address: Address, liveness: Liveness, data: NodeData) -> None:
        self._plan = plan
        self._fleet = fleet
        self._address = address
        self._liveness = liveness
        self._data = data
        self._controller_restarts = 0
        self._starts: Counter[str] = Counter()  # for each node, how often its step was started again
        self._awaited: dict[str, float] = {}  # nodes whose step was started again, and when they count as lost
        self._returned: set[str] = set()  # nodes whose launcher has sent a message since
        self._separate: set[str] = set()  # nodes that did not begin together: each gets a step of its own
        self.given_up = 0
        self.deadline = 0.0
        self.on_lost: Callable[[Collection[str], str], None] = lambda *_: None  # with the nodes, and the reason

    def note_message(self, node: str) -> None:
        """Note that the launcher of `node` has sent a message."""
        if self._awaited.pop(node, None) is not None:
            self._returned.add(node)

    def replace_lost(self, workers: "EngineWorkers", ended: Program | None, silent: bool) -> None:
        """Replace a program that has `ended`, or a `silent` controller; give up where nothing can be done."""
        fleet = self._fleet
        lost = silent or ended is fleet.controller
        nodes = fleet.nodes_of(ended) if ended is not None else ()
        if nodes:
            assert ended is not None
            self._replace_step(workers, ended, nodes)
        elif lost and self._controller_restarts < CONTROLLER_RESTARTS and not fleet.no_launcher_left():
            self._replace_controller(workers, silent)
        self._end_silent_steps()
        if workers.slots:
            self.deadline = 0.0
        if ended is not None and fleet.is_unreachable():
            workers.fail(
                f"the {ended.name} step ended with status {ended.status}; its log, {ended.log}, ends with\n"
                f"{ended.log_tail()}"
            )
        elif not workers.slots and not self._awaited and self.given_up:
            workers.fail(f"every worker has ended again and again; the logs are in {self._plan.run_dir}")
        elif not workers.slots and 0 < self.deadline < time.monotonic():
            workers.fail(f"no worker has come back; the logs are in {self._plan.run_dir}")

    def _replace_step(self, workers: "EngineWorkers", ended: Program, nodes: tuple[Node, ...]) -> None:
        """Start launchers again whose step has ended, on the nodes that had workers until then."""
        names = {node.name for node in nodes}
        if names & self._awaited.keys():  # it has ended before all have begun: one node may keep back the others
            self._separate |= names
        usable = workers.hosts_with_engines | self._awaited.keys() | self._returned
        chosen = tuple(node for node in nodes if node.name in usable and self._starts[node.name] < STEP_RESTARTS)
        again = {node.name for node in chosen}
        workers.lose(names, f"the workers' step ended with status {ended.status}")
        self.on_lost(names, f"the workers' step ended with status {ended.status}")
        self._fleet.drop(ended)
        self._data.remove_nodes(names, awaited=again)
        self._returned -= names
        for name in names:
            self._awaited.pop(name, None)
        if not chosen:
            return
        where = compress(sorted(again))
        log.warning("the workers' step ended with status %s: starting another on %s", ended.status, where)
        self._starts.update(again)
        self._fleet.start_again(chosen, one_step_each=bool(again & self._separate))
        now = time.monotonic()
        self.deadline = now + self._plan.timeout
        self._awaited |= dict.fromkeys(again, now + min(RESTART_SECONDS, self._plan.timeout / 3))

    def _end_silent_steps(self) -> None:
        """End steps of nodes that do not come back: srun starts no task of a step before all its nodes are there.

        The steps are started again when their end is seen: the nodes that have answered in one step, those of a
        step that is silent as a whole in one each.
        """
        now = time.monotonic()
        late = {name for name, when in self._awaited.items() if when < now}
        for nodes, launcher in self._fleet.launchers if late else ():
            silent = {node.name for node in nodes} & late
            if silent and len(silent) == len(nodes) > 1:
                self._separate |= silent
                self._awaited |= dict.fromkeys(silent, math.inf)  # until the end of the step is seen
            else:
                for name in silent:
                    del self._awaited[name]
                self._data.remove_nodes(silent, awaited=set())
            if silent:
                launcher.terminate()

    def _replace_controller(self, workers: "EngineWorkers", silent: bool) -> None:
        """Start another controller: on the same node, or when that is silent on another."""
        self._controller_restarts += 1
        self.deadline = time.monotonic() + self._plan.timeout
        node = self._fleet.controller_node
        controller = self._fleet.controller
        if silent:
            log.warning("the controller on %s no longer answers: starting another elsewhere", node)
            self._address.reset(node)
            controller.terminate()
        else:
            log.warning("the controller ended with status %s: starting another", controller.status)
        self._fleet.send({"engine": None})  # otherwise the engines run tasks whose results are lost
        workers.disconnect("the controller of the workers is gone")
        self._fleet.restart_controller({node} if silent else set())
        self._liveness.end()
