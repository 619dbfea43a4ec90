"""Grant of Slurm: waited for before the workers start, and its GPUs compared with those that the nodes have."""

import logging
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

from hpcml.engines.plan import Plan
from hpcml.errors import CommandError
from hpcml.slurm.gpus import JobGpus
from hpcml.slurm.hostlist import compress
from hpcml.slurm.node_wait import await_job

__all__ = ["await_grant", "gpu_warnings", "warn_of_gpus"]

log = logging.getLogger("hpcml")

LEAST_SECONDS = 2.0  # for Slurm's answer, before the seconds of the start are counted


def await_grant(plan: Plan) -> Plan:
    """Wait for the nodes of the job that Slurm is still switching on; return `plan` with the job's GPUs.

    The plan is returned as it is where Slurm does not answer: the start of the workers then says so.

    Raises
    ------
    EngineError
        A node has not come; see `hpcml.slurm.node_wait.wait_for_nodes`.
    """
    if plan.allocation is None:
        return plan
    job = plan.allocation.exact_id
    try:
        names = [node.name for node in plan.nodes]
        gpus = await_job(job, names, plan.environment, plan.unwanted, seconds=max(plan.timeout / 4, LEAST_SECONDS))
    except CommandError as error:
        log.debug("Slurm does not answer about job %s: %s", job, error)
        return plan
    return replace(plan, gpus=gpus)


def warn_of_gpus(plan: Plan, seen: Mapping[str, int]) -> None:
    """Say once which nodes' workers share GPUs, and which nodes have fewer than the job.

    Parameters
    ----------
    seen
        Of each node, the number of GPUs that its program has found.
    """
    for text in gpu_warnings(plan, seen):
        log.warning("%s", text)


def gpu_warnings(plan: Plan, seen: Mapping[str, int]) -> list[str]:
    """Return the messages of `warn_of_gpus`; nodes that have the same are named together."""
    shared: dict[tuple[int, int], list[str]] = defaultdict(list)
    lost: dict[tuple[int, str], list[str]] = defaultdict(list)
    for node in plan.nodes:
        found = seen.get(node.name)
        if found is None:  # no program of this node has come
            continue
        if 0 < found < node.slots:
            shared[node.slots, found].append(node.name)
        if found < plan.gpus.count(node.name):
            lost[found, plan.gpus.describe(node.name)].append(node.name)
    texts = [
        f"{compress(names)}: {slots} workers share {found} GPU{'s' * (found > 1)}. For one each: "
        f"--ntasks-per-node={found} and more --cpus-per-task, or Cluster(slots_per_node={found})"
        for (slots, found), names in shared.items()
    ]
    return texts + [
        f"{compress(names)}: the workers use {found or 'none'} of the job's GPUs, {held}, for Slurm gives a step "
        f"no more. {_advice(plan.gpus)}"
        for (found, held), names in lost.items()
    ]


def _advice(gpus: JobGpus) -> str:
    most = max(gpus.nodes, key=gpus.count)
    types = ",".join(f"gpu:{group.type}:{group.count}" for group in gpus.nodes[most] if group.type)
    return f"Ask for a number on each node, of each type: --gres={types or f'gpu:{gpus.count(most)}'}"
