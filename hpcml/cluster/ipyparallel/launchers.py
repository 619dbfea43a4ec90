"""Launchers of ipyparallel's Cluster in a program of `hpcml run`: the open Cluster's programs are used."""

from collections.abc import Mapping
from typing import Any

from ipyparallel.cluster.launcher import BaseLauncher, ControllerLauncher, EngineLauncher

from hpcml.cluster.current import current_cluster
from hpcml.cluster.ipyparallel.clients import open_connection
from hpcml.errors import EngineError

__all__ = ["OpenController", "OpenEngines", "launchers_for"]

NAMES = ("controller", "controller_launcher_class", "engines", "engine_launcher_class")
ASKED = "a cluster of ipyparallel was asked for"


def launchers_for(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments with which ipyparallel's Cluster is made, for those that a program gives.

    One that names no launcher has those of this module, and as many engines as the open Cluster has slots.
    """
    if any(arguments.get(name) is not None for name in NAMES):
        return dict(arguments)
    given = {name: value for name, value in arguments.items() if value is not None}
    launchers = {"controller": OpenController, "engines": OpenEngines}
    nothing_to_end = {"delay": 0.0, "cluster_file": "", "shutdown_atexit": False}
    return {"n": current_cluster(ASKED).slots, **nothing_to_end, **given, **launchers}


class _OpenLauncher(BaseLauncher):  # type: ignore[misc]  # ipyparallel has no types
    """Launcher that starts and ends nothing."""

    def find_args(self) -> list[str]:
        """Return a name for messages: there is no command."""
        return ["hpcml"]

    async def stop(self) -> None:
        """Leave the programs to the open Cluster."""
        self.notify_stop({})

    def signal(self, sig: int) -> None:
        """Send no signal: `ipyparallel.Client.send_signal` sends one to single engines."""


class OpenController(_OpenLauncher, ControllerLauncher):  # type: ignore[misc]
    """Launcher of the open Cluster's controller."""

    async def start(self) -> None:
        """Begin to use the controller."""
        self.notify_start({})

    async def get_connection_info(self, timeout: float | None = None) -> dict[str, Any]:
        """Return the connection information of the open Cluster."""
        info = open_connection()["connection_info"]
        return {"client": info, "engine": info}


class OpenEngines(_OpenLauncher, EngineLauncher):  # type: ignore[misc]
    """Launcher of the open Cluster's engines."""

    async def start(self, n: int) -> None:
        """Begin to use `n` engines.

        Raises
        ------
        EngineError
            The Cluster has fewer slots.
        """
        slots = current_cluster(ASKED).slots
        if n > slots:
            raise EngineError(
                f"ipyparallel.Cluster was asked for {n} engines, and the Cluster that is open has {slots} slots: "
                "request more tasks of Slurm, or type `hpcml run --slots-per-node N script.py`"
            )
        self.n = n
        self.notify_start({})
