"""Shared data on the nodes of this engine: each launcher owns its node's directories, the driver fills them.

Before data is sent, the launchers are asked for the free bytes of their directories. A node that does not answer
is lost, and no data is sent to it: sbcast would fail for the other nodes too, after a minute or two.
"""

import itertools
import queue
import threading
import time
from collections.abc import Callable, Set
from typing import TypeVar

from hpcml.data.staging.file_system import LocalStaging, SharedStaging, make_shared
from hpcml.data.staging.files import directory_in
from hpcml.data.staging.sbcast import SbcastStaging
from hpcml.data.staging.store import Staging
from hpcml.engines.nodes.messages import DataOrder, NodeNews, NodeOrder, ReportedData
from hpcml.engines.plan import Plan
from hpcml.errors import DataError

__all__ = ["NodeData"]

T = TypeVar("T")

ANSWER_TIMEOUT_SECONDS = 5.0
LOST_NODE_TIMEOUT_SECONDS = 0.2  # for the answer of a node that was silent before
STEP_TIMEOUT_SECONDS = 30.0  # for the start of an idle step


class NodeData:
    """Directories that the launchers have reported, and the staging in them.

    The `Store` makes one call at a time. The thread for news calls `take`, `add_node` and `remove_nodes`.

    Parameters
    ----------
    send
        Sends an order to all launchers, from another thread.
    start_idle_steps
        Starts steps on some of the nodes, which send messages with their names.
    """

    def __init__(
        self, plan: Plan, send: Callable[[NodeOrder], None], start_idle_steps: Callable[[Set[str]], None]
    ) -> None:
        self._plan = plan
        self._send = send
        self._start_idle_steps = start_idle_steps
        self._reported: dict[str, ReportedData] = {}
        self._lost: frozenset[str] = frozenset()
        self._steps: dict[frozenset[str], tuple[str, ...]] = {frozenset(): ()}  # steps without these lost nodes
        self._awaited: set[str] = set()  # nodes whose launchers are being started again
        self._changed = threading.Condition()  # of the attributes above, by the news thread
        self._questions = itertools.count()
        self._answers: queue.SimpleQueue[NodeNews] = queue.SimpleQueue()
        shared = plan.data_dir if plan.allocation is not None else None
        self._shared = directory_in(str(shared), plan.data_name) if shared is not None else ""

    def order(self) -> DataOrder:
        """Return the order by which launchers make the directories, and in the end remove them."""
        return {"name": self._plan.data_name, "places": self._plan.data_places, "shared": self._shared}

    def add_node(self, node: str, report: ReportedData) -> None:
        """Add the directories of `node`, and the step that its launcher belongs to."""
        with self._changed:
            self._reported = {**self._reported, node: report}
            self._awaited.discard(node)
            self._steps = {frozenset(): tuple(dict.fromkeys(report["step"] for report in self._reported.values()))}
            self._changed.notify_all()

    def remove_nodes(self, nodes: Set[str], awaited: Set[str]) -> None:
        """Remove `nodes`, whose launchers have ended; no data is sent before those that are `awaited` are back."""
        with self._changed:
            self._reported = {node: report for node, report in self._reported.items() if node not in nodes}
            self._awaited = (self._awaited - nodes) | awaited
            self._changed.notify_all()

    def staging(self, environment: dict[str, str]) -> Staging:
        """Return the staging for the nodes that have reported their directories."""
        if self._plan.allocation is None:
            return LocalStaging(self.directories, self.free_bytes)
        if self._shared and self.directories:
            return SharedStaging(make_shared(self._shared), self.directories[0], self.remove, self.free_bytes)
        memory, *others = self._plan.data_places
        return SbcastStaging(self, (*others, memory), environment)

    @property
    def directories(self) -> tuple[str, ...]:
        """Directories that every node has."""
        lists = [report["directories"] for report in self._reported.values()]
        return tuple(path for path in lists[0] if all(path in others for others in lists))

    def take(self, answer: NodeNews) -> None:
        """Take a launcher's answer to `free_bytes`, or the message of a step that was started by `steps`."""
        self._answers.put(answer)

    def free_bytes(self) -> dict[str, dict[str, int]]:
        """Ask all nodes for the free bytes of each of their directories; a node without an answer is lost."""
        with self._changed:
            self._changed.wait_for(lambda: not self._awaited, self._plan.timeout)
        asked = next(self._questions)
        self._send({"room": asked})

        def _answered(answer: NodeNews) -> dict[str, int] | None:
            return answer.get("room") if answer.get("asked") == asked else None

        reporting = self._reported.keys()
        rooms: dict[str, dict[str, int]] = {}
        for wanted, seconds in (
            (reporting - self._lost, ANSWER_TIMEOUT_SECONDS),
            (reporting, LOST_NODE_TIMEOUT_SECONDS),
        ):
            rooms |= self._collect(_answered, wanted - rooms.keys(), seconds)
        self._lost = frozenset(reporting - rooms.keys())
        return rooms

    def steps(self) -> tuple[str, ...]:
        """Return steps that run on all nodes that are not lost: where none is, the launchers' own."""
        if self._lost not in self._steps:
            living = self._reported.keys() - self._lost
            self._start_idle_steps(living)
            steps = self._collect(lambda answer: answer.get("holds"), living, STEP_TIMEOUT_SECONDS)
            if living - steps.keys():
                raise DataError(
                    f"no step for sending data could be started on the nodes that are left after the loss of "
                    f"{', '.join(sorted(self._lost))}; the log is {self._plan.run_dir / 'data.log'}"
                )
            self._steps[self._lost] = tuple(dict.fromkeys(steps.values()))
        return self._steps[self._lost]

    def _collect(self, value: Callable[[NodeNews], T | None], nodes: Set[str], seconds: float) -> dict[str, T]:
        """Return the value of each answer that has one, by node, until all `nodes` have answered or time is up."""
        found: dict[str, T] = {}
        deadline = time.monotonic() + seconds
        while nodes - found.keys():
            try:
                answer = self._answers.get(timeout=max(deadline - time.monotonic(), 0))
            except queue.Empty:
                break
            part = value(answer)
            if part is not None:
                found[answer["node"]] = part
        return found

    def remove(self, path: str) -> None:
        """Have the launchers remove a file, later."""
        self._send({"remove": path})
