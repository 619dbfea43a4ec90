"""Allocation of Slurm, read from the ``SLURM_*`` variables and nothing else.

The nodes are the job's in a batch script and in salloc's shell, which may be on the login node or in Slurm's
interactive step. They are the step's, ``SLURM_STEP_*``, in what srun started, with or without ``--pty``.
A heterogeneous job has variables for each component (``…_HET_GROUP_0``); it is one allocation here.
What is missing or contradicts itself is an error, never a guess.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from hpcml.errors import AllocationError
from hpcml.slurm.hostlist import compress
from hpcml.slurm.variables import SlurmVariables

__all__ = ["Allocation", "Node", "detect"]

Where = Literal["login", "batch", "interactive", "step"]

_MARKS = ("JOB_ID", "JOBID", "JOB_NODELIST", "JOB_NUM_NODES", "TASKS_PER_NODE", "STEP_ID", "STEP_NODELIST")
_JOB = ("JOB_NODELIST", "TASKS_PER_NODE", "JOB_NUM_NODES", "NTASKS")
_STEP = ("STEP_NODELIST", "STEP_TASKS_PER_NODE", "STEP_NUM_NODES", "STEP_NUM_TASKS")
_SHOWN = 20  # problems in one message
_INTERACTIVE_STEP = 0xFFFFFFFA  # SLURM_INTERACTIVE_STEP in slurm.h
# SLURM_TRES_PER_TASK is cpu:8 in 23.11, cpu=8,gres/gpu:a100=1 later; SLURM_GPUS_PER_NODE 2 or a100:1,v100:1
_CPUS_IN_TRES = re.compile(r"(?:^|,)cpu[:=]([0-9]{1,9})(?=,|$)")
_GPUS_IN_TRES = re.compile(r"(?:^|,)gres[:/]gpu(?::[a-zA-Z][^:=,]*)?[:=]([0-9]{1,9})(?=,|$)")
_GPUS = re.compile(r"(?:^|,)(?:[a-zA-Z][^:=,]*[:=])?([0-9]{1,9})(?=,|$)")

_ERROR = """The SLURM_* variables here do not describe one job:
  - {problems}
To work on this computer alone, forget the job first:  unset ${{!SLURM_@}}
To work in a job, start this anew from its batch script, or from the shell of salloc or srun --pty.
What Slurm knows about the job:  scontrol show job {job}"""


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
    """CPUs that the job holds here; None where Slurm does not say."""
    memory: int | None = None
    """MB that the job may use here; None where Slurm does not say."""
    gpus: int = 0
    """GPUs that the job holds here; 0 also where Slurm does not say."""
    het_group: int = 0
    """The component of a heterogeneous job that this node belongs to."""


@dataclass(frozen=True)
class Allocation:
    """Allocation of Slurm, and the place of this process in it.

    Examples
    --------
    >>> allocation = Allocation(7, (Node("n1", 4), Node("n2", 3)), "batch", array=(5, 2))
    >>> allocation.slots, allocation.hosts, allocation.label
    (7, ('n1', 'n2'), '5_2')
    """

    job_id: int
    nodes: tuple[Node, ...]
    where: Where
    step_id: int | None = None
    """The srun step this process is in; None in a batch script and in salloc's shell."""
    task_rank: int | None = None
    """This process' rank among the tasks of its srun step; None outside of one."""
    task_count: int = 1
    """Number of tasks of that step: so many times srun started this program."""
    launch_node: str | None = None
    """The node this process is on; None on the login node."""
    end_time: float | None = None
    """When the time limit ends the job, in s since 1970, as planned at its start; None before Slurm 23.02.

    Without a limit Slurm plans a year."""
    restart_count: int = 0
    array: tuple[int, int] | None = None
    """The ids of the job array and of the task in it. A job submitted from inside an array inherits them, and
    no variable tells; so name the job to Slurm's commands by `job_id`."""
    het_groups: int = 1
    """Components of the job; above 1 for a heterogeneous job."""

    @property
    def slots(self) -> int:
        """Slots on all nodes together."""
        return sum(node.slots for node in self.nodes)

    @property
    def hosts(self) -> tuple[str, ...]:
        """The nodes' names, in Slurm's order."""
        return tuple(node.name for node in self.nodes)

    @property
    def label(self) -> str:
        """The job as Slurm's commands show it to people: ``7``, or ``5_2`` for a task of an array."""
        return f"{self.array[0]}_{self.array[1]}" if self.array else str(self.job_id)


def detect(env: Mapping[str, str]) -> Allocation | None:
    """Return the allocation that the environment `env` describes; None where there is none.

    Raises
    ------
    AllocationError
        If the variables are partial, garbage, or contradict each other; the message lists all of it.

    Examples
    --------
    >>> job = {"SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "n[1-3]", "SLURM_TASKS_PER_NODE": "2(x2),1"}
    >>> [(node.name, node.slots) for node in detect(job).nodes]
    [('n1', 2), ('n2', 2), ('n3', 1)]
    """
    if not any(env.get(f"SLURM_{mark}") for mark in _MARKS):
        return None
    variables = SlurmVariables(env)
    allocation = _read(variables)
    if variables.problems:
        found = list(dict.fromkeys(variables.problems))
        shown = [_shortened(problem) for problem in found[:_SHOWN]]
        if len(found) > _SHOWN:
            shown.append(f"and {len(found) - _SHOWN} more")
        raise AllocationError(_ERROR.format(problems="\n  - ".join(shown), job=allocation.job_id))
    return allocation


def _shortened(problem: str) -> str:
    """Cut the middle out of what holds a list of thousands of nodes."""
    return problem if len(problem) <= 400 else f"{problem[:250]} … {problem[-150:]}"


def _read(variables: SlurmVariables) -> Allocation:
    """Read everything; afterwards `variables.problems` tells whether it can be believed."""
    step, rank = variables.number("SLURM_STEP_ID"), variables.number("SLURM_PROCID")
    srun = step is not None and step != _INTERACTIVE_STEP
    in_step = srun and not variables.step_is_left_over()
    suffixes = variables.suffixes()
    nodes = _step_nodes(variables, suffixes) if in_step else _job_nodes(variables, suffixes, left_over=srun)
    here = variables.text("SLURMD_NODENAME") or None
    if here and nodes and here not in {node.name for node in nodes}:
        variables.problems.append(f"SLURMD_NODENAME={here} is not among the nodes")
    tasks = sum(node.slots for node in nodes) if in_step else 1
    if rank and rank >= tasks:
        variables.problems.append(f"SLURM_PROCID={rank}, but the number of tasks is {tasks}")
    end_time = variables.number("SLURM_JOB_END_TIME")
    return Allocation(
        job_id=variables.number("SLURM_JOB_ID", 1, needed=True) or 0,
        nodes=nodes,
        where=_where(variables, step, rank, in_step),
        step_id=step if in_step else None,
        task_rank=rank if in_step else None,
        task_count=tasks,
        launch_node=here,
        end_time=None if end_time is None else float(end_time),
        restart_count=variables.number("SLURM_RESTART_COUNT") or 0,
        array=_array(variables),
        het_groups=len(suffixes),
    )


def _where(variables: SlurmVariables, step: int | None, rank: int | None, in_step: bool) -> Where:
    if in_step:
        # `srun --pty -n28 bash` gives the terminal to task 0. Steps started from there inherit the variable.
        return "interactive" if variables.text("SLURM_PTY_PORT") and rank == 0 else "step"
    if step == _INTERACTIVE_STEP:
        return "interactive"
    # A batch script has the variables of a task; the shell that salloc leaves on the login node has not.
    return "batch" if variables.text("SLURMD_NODENAME") else "login"


def _array(variables: SlurmVariables) -> tuple[int, int] | None:
    if not variables.text("SLURM_ARRAY_JOB_ID") and not variables.text("SLURM_ARRAY_TASK_ID"):
        return None
    job, task = (variables.number(f"SLURM_ARRAY_{name}", needed=True) for name in ("JOB_ID", "TASK_ID"))
    return None if job is None or task is None else (job, task)


def _job_nodes(variables: SlurmVariables, suffixes: list[str], left_over: bool) -> tuple[Node, ...]:
    nodes: list[Node] = []
    for group, suffix in enumerate(suffixes):
        names = [f"SLURM_{name}{suffix}" for name in _JOB]
        # SLURM_NTASKS may be left over, too; and in 22.05 `-N3 -n5 --ntasks-per-node=2` gives 5 and 2(x3).
        believed = not left_over and not variables.text(f"SLURM_NTASKS_PER_NODE{suffix}")
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


def _step_nodes(variables: SlurmVariables, suffixes: list[str]) -> tuple[Node, ...]:
    slots = _slots(variables, *(f"SLURM_{name}" for name in _STEP))
    components = (_component(variables, group, suffix, slots) for group, suffix in enumerate(suffixes))
    found = {node.name: node for component in components for node in component}
    foreign = [host for host in slots if host not in found]
    if foreign:
        variables.problems.append(f"SLURM_STEP_NODELIST names {compress(foreign)}, SLURM_JOB_NODELIST does not")
    return tuple(found[host] for host in slots if host in found)


def _slots(variables: SlurmVariables, nodelist: str, tasks_per_node: str, *totals: str) -> dict[str, int]:
    """Return the slots by node's name; `totals` names the variables with the number of nodes and of tasks."""
    hosts = variables.hosts(nodelist)
    slots = [count or 0 for count in variables.counts(tasks_per_node, hosts, needed=True)]
    expected = ((len(hosts), nodelist), (sum(slots), tasks_per_node))
    for total, (value, source) in zip(totals, expected, strict=False):
        if value:
            variables.agree(total, value, source)
    return dict(zip(hosts, slots, strict=True))


def _component(variables: SlurmVariables, group: int, suffix: str, slots: Mapping[str, int]) -> list[Node]:
    """Return the nodes of one component, or of a job that is not heterogeneous, as far as they have slots."""
    hosts = variables.hosts(f"SLURM_JOB_NODELIST{suffix}")
    cpus = variables.counts(f"SLURM_JOB_CPUS_PER_NODE{suffix}", hosts)
    # `srun -c2 … : …` tells each component its own only, and without a suffix.
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
    """Return how many GPUs the job has on a node, 0 where no variable tells."""
    if host == variables.text("SLURMD_NODENAME") and variables.text("SLURM_GPUS_ON_NODE"):
        return variables.number("SLURM_GPUS_ON_NODE") or 0
    per_slot = variables.total(f"SLURM_GPUS_PER_TASK{suffix}", _GPUS)
    per_slot = per_slot or variables.total(f"SLURM_TRES_PER_TASK{suffix}", _GPUS_IN_TRES)
    total = variables.total(f"SLURM_GPUS{suffix}", _GPUS) if alone else 0
    return variables.total(f"SLURM_GPUS_PER_NODE{suffix}", _GPUS) or per_slot * slots or total
