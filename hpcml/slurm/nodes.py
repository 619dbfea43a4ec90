"""Nodes of an allocation: slots, CPUs, memory and GPUs of each, read from the ``SLURM_*`` variables."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from hpcml.slurm.hostlist import compress
from hpcml.slurm.variables import SlurmVariables

__all__ = ["Node", "job_nodes", "step_nodes"]

_JOB = ("JOB_NODELIST", "TASKS_PER_NODE", "JOB_NUM_NODES", "NTASKS")
_STEP = ("STEP_NODELIST", "STEP_TASKS_PER_NODE", "STEP_NUM_NODES", "STEP_NUM_TASKS")
# SLURM_TRES_PER_TASK is cpu:8 in 23.11, cpu=8,gres/gpu:a100=1 later; SLURM_GPUS_PER_NODE 2 or a100:1,v100:1
_CPUS_IN_TRES = re.compile(r"(?:^|,)cpu[:=]([0-9]{1,9})(?=,|$)")
_GPUS_IN_TRES = re.compile(r"(?:^|,)gres[:/]gpu(?::[a-zA-Z][^:=,]*)?[:=]([0-9]{1,9})(?=,|$)")
_GPUS = re.compile(r"(?:^|,)(?:[a-zA-Z][^:=,]*[:=])?([0-9]{1,9})(?=,|$)")


@dataclass(frozen=True)
class Node:
    """One node's share of an allocation.

    Examples
    --------
    >>> Node("n1", slots=4, cpus_per_slot=7).slots
    4
    """

    name: str
    slots: int
    """Slurm tasks on this node; each is the place of one worker."""
    cpus_per_slot: int = 1
    cpus: int | None = None
    """CPUs that the job holds on this node; None where Slurm does not say."""
    memory: int | None = None
    """MB that the job may use on this node; None where Slurm does not say."""
    gpus: int = 0
    """GPUs that the job holds on this node; 0 also where Slurm does not say."""
    het_group: int = 0
    """The component of a heterogeneous job that this node belongs to."""


def job_nodes(variables: SlurmVariables, suffixes: list[str], step_left_over: bool) -> tuple[Node, ...]:
    """Return the nodes of the job, whose variables end in `suffixes`.

    Parameters
    ----------
    step_left_over
        Whether there are variables of a step in which this process is not.
    """
    nodes: list[Node] = []
    for group, suffix in enumerate(suffixes):
        names = [f"SLURM_{name}{suffix}" for name in _JOB]
        # SLURM_NTASKS may be left over too. In 22.05, `-N3 -n5 --ntasks-per-node=2` gives 5 and 2(x3).
        believed = not step_left_over and not variables.text(f"SLURM_NTASKS_PER_NODE{suffix}")
        slots = _slots(variables, *names[: 4 if believed else 3])
        nodes += _component(variables, group, suffix, slots)
    for node in nodes:
        taken = node.slots * node.cpus_per_slot
        if node.cpus and node.cpus < taken and not variables.text("SLURM_OVERCOMMIT"):
            variables.problems.append(
                f"{node.name} has {node.cpus} CPUs (SLURM_JOB_CPUS_PER_NODE), but its {node.slots} tasks "
                f"(SLURM_TASKS_PER_NODE) of {node.cpus_per_slot} CPUs (SLURM_CPUS_PER_TASK) need {taken}"
            )
    return tuple(nodes)


def step_nodes(variables: SlurmVariables, suffixes: list[str]) -> tuple[Node, ...]:
    """Return the nodes of the step that this process is in; `suffixes` end the job's variables."""
    slots = _slots(variables, *(f"SLURM_{name}" for name in _STEP))
    components = (_component(variables, group, suffix, slots) for group, suffix in enumerate(suffixes))
    found = {node.name: node for component in components for node in component}
    foreign = [host for host in slots if host not in found]
    if foreign:
        variables.problems.append(f"SLURM_STEP_NODELIST names {compress(foreign)}, SLURM_JOB_NODELIST does not")
    return tuple(found[host] for host in slots if host in found)


def _slots(variables: SlurmVariables, nodelist: str, tasks_per_node: str, *totals: str) -> dict[str, int]:
    """Return node name: slots. `totals` names the variables that hold the number of nodes and of tasks."""
    hosts = variables.hosts(nodelist)
    slots = [count or 0 for count in variables.counts(tasks_per_node, hosts, needed=True)]
    expected = ((len(hosts), nodelist), (sum(slots), tasks_per_node))
    for total, (value, source) in zip(totals, expected, strict=False):
        if value:
            variables.agree(total, value, source)
    return dict(zip(hosts, slots, strict=True))


def _component(variables: SlurmVariables, group: int, suffix: str, slots: Mapping[str, int]) -> list[Node]:
    """Return the nodes with slots of one component, or of a job that is not heterogeneous."""
    hosts = variables.hosts(f"SLURM_JOB_NODELIST{suffix}")
    cpus = variables.counts(f"SLURM_JOB_CPUS_PER_NODE{suffix}", hosts)
    # `srun -c2 … : …` sets the variable of the own component only, and without a suffix.
    own = "" if suffix.startswith("_PACK") and variables.text("SLURMD_NODENAME") in hosts else suffix
    cpus_per_slot = variables.number(f"SLURM_CPUS_PER_TASK{own}", 1)
    in_tres = variables.total(f"SLURM_TRES_PER_TASK{suffix}", _CPUS_IN_TRES)
    if in_tres:
        variables.agree(f"SLURM_CPUS_PER_TASK{own}", in_tres, f"SLURM_TRES_PER_TASK{suffix}")
    per_node = variables.number(f"SLURM_MEM_PER_NODE{suffix}")
    per_cpu = variables.number(f"SLURM_MEM_PER_CPU{suffix}")
    return [
        Node(
            name=host,
            slots=slots[host],
            cpus_per_slot=cpus_per_slot or in_tres or 1,
            cpus=held,
            memory=per_node or (per_cpu or 0) * (held or 0) or None,
            gpus=_gpus(variables, suffix, host, slots[host], alone=len(hosts) == 1),
            het_group=group,
        )
        for host, held in zip(hosts, cpus, strict=True)
        if host in slots
    ]


def _gpus(variables: SlurmVariables, suffix: str, host: str, slots: int, alone: bool) -> int:
    """Return the number of GPUs that the job has on a node, 0 where no variable says."""
    if host == variables.text("SLURMD_NODENAME") and variables.text("SLURM_GPUS_ON_NODE"):
        return variables.number("SLURM_GPUS_ON_NODE") or 0
    per_slot = variables.total(f"SLURM_GPUS_PER_TASK{suffix}", _GPUS)
    per_slot = per_slot or variables.total(f"SLURM_TRES_PER_TASK{suffix}", _GPUS_IN_TRES)
    total = variables.total(f"SLURM_GPUS{suffix}", _GPUS) if alone else 0
    return variables.total(f"SLURM_GPUS_PER_NODE{suffix}", _GPUS) or per_slot * slots or total
