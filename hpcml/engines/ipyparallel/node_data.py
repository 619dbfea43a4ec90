"""Shared data on the nodes of this engine: each launcher owns its node's directories, the driver fills them.

Before anything is sent, the launchers are asked for the room they have: a node that does not answer is lost,
and must not be sent to, for sbcast gives up the others with it, after a minute or two.
"""

import itertools
import queue
import threading
import time
from collections.abc import Callable, Set
from typing import Any

from hpcml.data.staging.file_system import LocalStaging, SharedStaging, make_shared
from hpcml.data.staging.files import directory_in
from hpcml.data.staging.sbcast import SbcastStaging
from hpcml.data.staging.store import Staging
from hpcml.engines.ipyparallel.message_types import DataOrder, News, Order, ReportedData
from hpcml.engines.plan import Plan
from hpcml.errors import DataError

__all__ = ["NodeData"]

PATIENCE = 5.0  # seconds for an answer
REVIVED = 0.2  # and for one of a node that was silent before
HOLDER_PATIENCE = 30.0  # seconds for a step to start


class NodeData:
    """Directories that the launchers have reported, and the staging that follows from them.

    One call at a time, which the `Store` sees to; `take`, `note` and `forget` are the news thread's.

    Parameters
    ----------
    tell
        Sends an order to all launchers, later.
    hold
        Starts steps on some of the nodes, which send messages with their names.
    """

    def __init__(self, plan: Plan, tell: Callable[[Order], None], hold: Callable[[Set[str]], None]) -> None:
        self._plan = plan
        self._tell = tell
        self._hold = hold
        self._told: dict[str, ReportedData] = {}
        self._lost: frozenset[str] = frozenset()
        self._held: dict[frozenset[str], tuple[str, ...]] = {frozenset(): ()}  # steps without these lost nodes
        self._awaited: set[str] = set()  # nodes whose launchers are being started again
        self._changed = threading.Condition()  # protects these, which the news thread changes
        self._questions = itertools.count()
        self._answers: queue.SimpleQueue[News] = queue.SimpleQueue()
        shared = plan.data_dir if plan.allocation is not None else None
        self._shared = directory_in(str(shared), plan.data_name) if shared is not None else ""

    def order(self) -> DataOrder:
        """Return what launchers need to make, and in the end to remove, the directories."""
        return {"name": self._plan.data_name, "places": self._plan.data_places, "shared": self._shared}

    def note(self, node: str, told: ReportedData) -> None:
        """Note the directories that `node` has, and the step that its launcher belongs to."""
        with self._changed:
            self._told = {**self._told, node: told}
            self._awaited.discard(node)
            self._held = {frozenset(): tuple(dict.fromkeys(told["step"] for told in self._told.values()))}
            self._changed.notify_all()

    def forget(self, nodes: Set[str], awaited: Set[str]) -> None:
        """Send nothing to `nodes`, whose launchers have ended, before those of them that are awaited are back."""
        with self._changed:
            self._told = {node: told for node, told in self._told.items() if node not in nodes}
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
        """The directories that every node has."""
        lists = [told["directories"] for told in self._told.values()]
        return tuple(path for path in lists[0] if all(path in others for others in lists))

    def take(self, answer: News) -> None:
        """Take what a launcher answers to `room`, or what a step says that was started by `steps`."""
        self._answers.put(answer)

    def free_bytes(self) -> dict[str, dict[str, int]]:
        """Ask all nodes how many bytes each of their directories can take; who is silent is lost."""
        with self._changed:
            self._changed.wait_for(lambda: not self._awaited, self._plan.timeout)
        asked = next(self._questions)
        self._tell({"room": asked})
        known = self._told.keys()
        rooms: dict[str, dict[str, int]] = {}
        for wanted, seconds in ((known - self._lost, PATIENCE), (known, REVIVED)):
            rooms |= self._collect("room", wanted - rooms.keys(), seconds, asked)
        self._lost = frozenset(known - rooms.keys())
        return rooms

    def steps(self) -> tuple[str, ...]:
        """Return steps that run on all nodes that are not lost, the launchers' own where none is."""
        if self._lost not in self._held:
            living = self._told.keys() - self._lost
            self._hold(living)
            held = self._collect("holds", living, HOLDER_PATIENCE)
            if living - held.keys():
                raise DataError(
                    f"no step for sending data could be started on the nodes that are left after the loss of "
                    f"{', '.join(sorted(self._lost))}; the log is {self._plan.run_dir / 'data.log'}"
                )
            self._held[self._lost] = tuple(dict.fromkeys(held.values()))
        return self._held[self._lost]

    def _collect(self, what: str, nodes: Set[str], seconds: float, asked: int | None = None) -> dict[str, Any]:
        """Return what `nodes` say within so many seconds, and whoever else speaks meanwhile."""
        found: dict[str, Any] = {}
        deadline = time.monotonic() + seconds
        while nodes - found.keys():
            try:
                answer = self._answers.get(timeout=max(deadline - time.monotonic(), 0))
            except queue.Empty:
                break
            if what in answer and answer.get("asked") == asked:
                found[answer["node"]] = answer[what]  # type: ignore[literal-required]
        return found

    def remove(self, path: str) -> None:
        """Have the launchers remove a file, later."""
        self._tell({"remove": path})
