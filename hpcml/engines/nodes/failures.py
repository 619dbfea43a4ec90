"""Error messages for a start that failed: which nodes have no workers, and the ends of the logs."""

from collections.abc import Collection, Sequence

from hpcml.engines.nodes.steps import describe_refusal
from hpcml.slurm.hostlist import compress
from hpcml.slurm.nodes import Node
from hpcml.slurm.process import Program

__all__ = ["LATE_SECONDS", "describe_nodes"]

LATE_SECONDS = 2.0  # for Slurm to say which nodes are late: the start has taken its time already


def describe_nodes(
    launchers: Sequence[tuple[tuple[Node, ...], Program]],
    connected_nodes: Collection[str],
    nodes_with_workers: Collection[str],
    *,
    labelled: bool,
    late: str = "",
) -> list[str]:
    """Return a paragraph for each node without workers, and for each log.

    Parameters
    ----------
    launchers
        The nodes of each step of launchers, in the order of its tasks, and the step.
    connected_nodes, nodes_with_workers
        The nodes whose launcher has sent a message; those that have workers.
    labelled
        The logs' lines begin with the number of the task that wrote them.
    late
        Nodes that Slurm itself does not have, in words; see `hpcml.slurm.node_states`.
    """
    parts = []
    for nodes, launcher in launchers:
        for rank, node in enumerate(nodes):
            if node.name not in connected_nodes:
                parts.append(f"{node.name} has no worker, and it sent no message")
            elif node.name not in nodes_with_workers:
                tail = launcher.log_tail(label=str(rank) if labelled else None)
                parts.append(f"{node.name} has no worker; its log ends with\n{tail}")
    if late:
        parts.append(f"Slurm says: {late}")
    if labelled and not connected_nodes:
        parts.append(_describe_missing_steps(launchers))
    parts += [f"{launcher.log} ends with\n{launcher.log_tail()}" for _, launcher in launchers]
    return parts


def _describe_missing_steps(launchers: Sequence[tuple[tuple[Node, ...], Program]]) -> str:
    """Return the advice where no launcher has sent a message: Slurm has refused the steps, or not started them."""
    refusal = describe_refusal(launcher for _, launcher in launchers)
    if refusal:
        return refusal
    names = compress(node.name for nodes, _ in launchers for node in nodes)
    return (
        "Slurm has not started the workers. `scontrol ping` shows whether it answers, "
        f"`sinfo --Node --nodes={names}` whether the nodes do."
    )
