"""Shared data on the nodes of this engine: each launcher owns its node's directories, the driver fills them."""

import itertools
import queue
import time
from collections.abc import Callable
from typing import Any

from hpcml.datafiles import directory_in
from hpcml.plan import Plan
from hpcml.sbcast import SbcastStaging
from hpcml.staging import LocalStaging, SharedStaging, make_shared
from hpcml.store import Staging

__all__ = ["NodeData"]

PATIENCE = 5.0  # seconds for an answer; a node that is silent so long may be lost


class NodeData:
    """What the launchers have told about their directories, and the staging that follows from it.

    Parameters
    ----------
    tell
        Sends an order to all launchers, later.
    """

    def __init__(self, plan: Plan, tell: Callable[[dict[str, Any]], None]) -> None:
        self._plan, self._tell = plan, tell
        self._told: dict[str, dict[str, Any]] = {}
        self._questions = itertools.count()
        self._answers: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        shared = plan.data_dir if plan.allocation is not None else None
        self._shared = directory_in(str(shared), plan.run_dir.name) if shared is not None else ""

    def order(self) -> dict[str, Any]:
        """Return what launchers need to make, and in the end to remove, the directories."""
        return {"name": self._plan.run_dir.name, "places": self._plan.data_places, "shared": self._shared}

    def note(self, node: str, told: dict[str, Any]) -> None:
        """Note the directories that `node` has, and the step that its launcher belongs to."""
        self._told[node] = told

    @property
    def steps(self) -> tuple[str, ...]:
        """The launchers' steps."""
        return tuple(dict.fromkeys(told["step"] for told in self._told.values()))

    @property
    def directories(self) -> tuple[str, ...]:
        """The directories that every node has."""
        lists = [told["directories"] for told in self._told.values()]
        return tuple(path for path in lists[0] if all(path in others for others in lists))

    def staging(self, environment: dict[str, str]) -> Staging:
        """Return the way for data to the nodes that have told of themselves."""
        if self._plan.allocation is None:
            return LocalStaging(self.directories)
        if self._shared and self.directories:
            return SharedStaging(make_shared(self._shared), self.directories[0], self.remove)
        memory, *others = self._plan.data_places
        return SbcastStaging(self, (*others, memory), environment)

    def note_room(self, answer: dict[str, Any]) -> None:
        """Take a launcher's answer to `room`."""
        self._answers.put(answer)

    def room(self) -> dict[str, dict[str, int]]:
        """Ask all nodes how many bytes each of their directories can take; who is silent is left out."""
        asked = next(self._questions)
        self._tell({"room": asked})
        found: dict[str, dict[str, int]] = {}
        deadline = time.monotonic() + PATIENCE
        while len(found) < len(self._told):
            try:
                answer = self._answers.get(timeout=max(deadline - time.monotonic(), 0))
            except queue.Empty:
                break
            if answer["asked"] == asked:
                found[answer["node"]] = answer["room"]
        return found

    def remove(self, path: str) -> None:
        """Have the launchers remove a file, later."""
        self._tell({"remove": path})
