"""Nodes that are left to the ranks of a job that has lost others."""

import contextlib
from collections.abc import Collection, Mapping, Sequence

from hpcml.errors import CommandError, EngineError
from hpcml.slurm.hostlist import compress
from hpcml.slurm.node_states import lost_nodes
from hpcml.slurm.node_wait import node_states
from hpcml.slurm.nodes import Node

__all__ = ["advice", "find_gone", "nodes_left"]


def find_gone(nodes: Sequence[Node], log: str, environment: Mapping[str, str]) -> set[str]:
    """Return the nodes that srun could not reach, by its log, and those that Slurm has given up."""
    gone = lost_nodes(log)
    with contextlib.suppress(CommandError):  # then a start will show who is there
        states = node_states([node.name for node in nodes], environment)
        gone |= {name for name, state in states.items() if state.is_gone}
    return gone


def nodes_left(nodes: Sequence[Node], gone: Collection[str], min_slots: int) -> tuple[Node, ...]:
    """Return the nodes that are not gone.

    Raises
    ------
    EngineError
        They have fewer than `min_slots` slots.

    Examples
    --------
    >>> from hpcml.commands.torch.nodes_left import nodes_left
    >>> from hpcml.slurm.nodes import Node
    >>> [node.name for node in nodes_left([Node("n1", 2), Node("n2", 2), Node("n3", 2)], {"n2"}, min_slots=4)]
    ['n1', 'n3']
    """
    left = tuple(node for node in nodes if node.name not in gone)
    slots = sum(node.slots for node in left)
    if slots < min_slots:
        names = compress([node.name for node in nodes if node.name in gone])
        raise EngineError(f"without {names}, {slots} slots are left, and --min-slots={min_slots} asks for more")
    return left


def advice(nodes: Sequence[Node], log: str) -> str:
    """Return a line for a start that has failed because of nodes that srun could not reach; "" for another start.

    Examples
    --------
    >>> from hpcml.commands.torch.nodes_left import advice
    >>> from hpcml.slurm.nodes import Node
    >>> log = "srun: error: Task launch for StepId=2.3 failed on node n2: Communication connection failure"
    >>> print(advice([Node("n1", 4), Node("n2", 4)], log).strip())
    srun has no answer from n2. To run the ranks of the other nodes: --min-slots=4
    """
    gone = [node.name for node in nodes if node.name in lost_nodes(log)]
    slots = sum(node.slots for node in nodes if node.name not in gone)
    if not gone or not slots:
        return ""
    return f"\nsrun has no answer from {compress(gone)}. To run the ranks of the other nodes: --min-slots={slots}"
