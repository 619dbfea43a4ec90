"""Error messages for a start that failed: which node or controller is missing, and the ends of the logs."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from hpcml.engines.nodes import addresses
from hpcml.engines.nodes.steps import describe_refusal
from hpcml.slurm.hostlist import compress
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
) -> str:
    """Return a paragraph for each node without workers, and for a controller that is not ready.

    Parameters
    ----------
    launchers
        The nodes of each step of launchers, in the order of its tasks, and the step.
    connected_nodes, nodes_with_workers
        The nodes whose launcher has sent a message; those that have workers.
    labelled
        The logs' lines begin with the number of the task that wrote them.
    """
    parts = []
    if controller.ended or not controller.ready:
        state = f"ended with status {controller.program.status}" if controller.ended else "is not ready"
        parts.append(f"The controller {state}; its log ends with\n{controller.program.log_tail()}")
    for nodes, launcher in launchers:
        for rank, node in enumerate(nodes):
            if node.name not in connected_nodes:
                parts.append(f"{node.name} has no worker, and it sent no message")
            elif node.name not in nodes_with_workers:
                tail = launcher.log_tail(label=str(rank) if labelled else None)
                parts.append(f"{node.name} has no worker; its log ends with\n{tail}")
    if labelled and not connected_nodes:
        parts.append(_describe_missing_steps(launchers))
    parts += [f"{launcher.log} ends with\n{launcher.log_tail()}" for _, launcher in launchers]
    return "".join(f"\n{part}" for part in parts)


def _describe_missing_steps(launchers: Sequence[tuple[tuple[Node, ...], Program]]) -> str:
    """Return the advice where no launcher has sent a message: Slurm has refused the steps, or not started them."""
    refusal = describe_refusal(launcher for _, launcher in launchers)
    if refusal:
        return refusal
    names = compress(node.name for nodes, _ in launchers for node in nodes)
    return (
        "Slurm has not started the workers. `scontrol ping` tells whether it answers, "
        f"`sinfo --Node --nodes={names}` whether the nodes do."
    )


def unreachable(reached: dict[str, dict[str, str]]) -> str:
    """Return the message for a controller without an address that all hosts reach."""
    advice = 'ipyparallel\'s sockets do not speak IPv6. Cluster(engine="local") uses this computer alone.'
    headline = "no address of the controller can be reached from everywhere"
    return addresses.unreachable(headline, reached, without_ipv4=advice)
