"""Commands that print Slurm's records of a job, of partitions and of nodes, as lists of words."""

from collections.abc import Sequence

__all__ = ["job_details", "node_states_query", "partitions_record"]


def job_details(job: str) -> list[str]:
    """Return the command that prints Slurm's record of a job with what it holds on each node, GPUs included."""
    return ["scontrol", "--oneliner", "--details", "show", "job", job]


def partitions_record() -> list[str]:
    """Return the command that prints Slurm's record of each partition, which counts hidden nodes, too."""
    return ["scontrol", "--oneliner", "show", "partition"]


def node_states_query(nodes: Sequence[str]) -> list[str]:
    """Return the command that prints the states of nodes; see `hpcml.slurm.node_states.parse_node_states`."""
    return ["sinfo", "--all", "--Node", "--noheader", f"--nodes={','.join(nodes)}", "--format=%N|%T|%E"]
