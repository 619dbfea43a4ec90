"""Shared data on the nodes of this engine: each launcher owns its node's directories, the driver fills them."""

from collections.abc import Callable, Iterable
from typing import Any

from hpcml.datafiles import directory_in
from hpcml.plan import Plan
from hpcml.staging import LocalStaging, SbcastStaging, SharedStaging, make_shared
from hpcml.store import Staging

__all__ = ["NodeData"]


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
        shared = plan.data_dir if plan.allocation is not None else None
        self._shared = directory_in(str(shared), plan.run_dir.name) if shared is not None else ""

    def order(self) -> dict[str, Any]:
        """Return what launchers need to make, and in the end to remove, the directories."""
        return {"name": self._plan.run_dir.name, "places": self._plan.data_places, "shared": self._shared}

    def note(self, node: str, told: dict[str, Any]) -> None:
        """Note the directories that `node` has, and the step that its launcher belongs to."""
        self._told[node] = told

    def staging(self, nodes: Iterable[str], environment: dict[str, str]) -> Staging:
        """Return the way for data to `nodes`, which are those that have workers."""
        told = [self._told[node] for node in nodes]
        everywhere = [path for path in told[0]["directories"] if all(path in one["directories"] for one in told)]
        if self._plan.allocation is None:
            return LocalStaging(everywhere)
        if self._shared and everywhere:
            return SharedStaging(make_shared(self._shared), everywhere[0], self._remove)
        steps = tuple(dict.fromkeys(one["step"] for one in told))
        memory, *others = self._plan.data_places
        return SbcastStaging(steps, everywhere, (*others, memory), environment, self._remove)

    def _remove(self, path: str) -> None:
        self._tell({"remove": path})
