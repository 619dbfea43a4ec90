"""Error messages for a start that failed: which node or controller is missing, and the ends of the logs."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from hpcml.engines.nodes import addresses
from hpcml.engines.nodes.failures import describe_nodes
from hpcml.slurm.nodes import Node
from hpcml.slurm.process import Program

__all__ = ["ControllerState", "describe_failures", "unreachable"]


@dataclass(frozen=True)
class ControllerState:
    """State of the controller: whether its step has ended, and whether it serves."""

    program: Program
    ended: bool
    ready: bool


def describe_failures(
    controller: ControllerState,
    launchers: Sequence[tuple[tuple[Node, ...], Program]],
    connected_nodes: Collection[str],
    nodes_with_workers: Collection[str],
    *,
    labelled: bool,
    late: str = "",
) -> str:
    """Return a paragraph for a controller that is not ready, and what `describe_nodes` has."""
    parts = []
    if controller.ended or not controller.ready:
        state = f"ended with status {controller.program.status}" if controller.ended else "is not ready"
        parts.append(f"The controller {state}; its log ends with\n{controller.program.log_tail()}")
    parts += describe_nodes(launchers, connected_nodes, nodes_with_workers, labelled=labelled, late=late)
    return "".join(f"\n{part}" for part in parts)


def unreachable(reached: dict[str, dict[str, str]]) -> str:
    """Return the message for a controller without an address that all hosts reach."""
    advice = 'ipyparallel\'s sockets do not speak IPv6. Cluster(engine="local") uses this computer alone.'
    headline = "no address of the controller can be reached from everywhere"
    return addresses.unreachable(headline, reached, without_ipv4=advice)
