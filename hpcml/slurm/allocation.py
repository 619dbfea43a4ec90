"""Allocation of Slurm, read from the ``SLURM_*`` variables and nothing else.

A batch script has the nodes of the job. So has salloc's shell, on the login node or in Slurm's interactive step.
A program that srun started, with or without ``--pty``, has the nodes of the step, ``SLURM_STEP_*``.
A heterogeneous job has variables for each component (``…_HET_GROUP_0``); it is one allocation here.
A variable that is missing or contradicts another is an error, never a guess.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from hpcml.errors import AllocationError
from hpcml.slurm.job_ids import exact_job_id
from hpcml.slurm.nodes import Node, job_nodes, step_nodes
from hpcml.slurm.variables import SlurmVariables

__all__ = ["Allocation", "detect"]

Where = Literal["login", "batch", "interactive", "step"]

_MARKS = ("JOB_ID", "JOBID", "JOB_NODELIST", "JOB_NUM_NODES", "TASKS_PER_NODE", "STEP_ID", "STEP_NODELIST")
_MAX_PROBLEMS = 20  # in one message
_MAX_PROBLEM_LENGTH = 400  # characters
_INTERACTIVE_STEP = 0xFFFFFFFA  # SLURM_INTERACTIVE_STEP in slurm.h

_ERROR = """The SLURM_* variables here do not describe one job:
  - {problems}
To work on this computer alone, forget the job first:  unset ${{!SLURM_@}}
To work in a job, start this anew from its batch script, or from the shell of salloc or srun --pty.
Slurm's own record of the job:  scontrol show job {job}"""


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
    """The srun step that this process is in; None in a batch script and in salloc's shell."""
    task_rank: int | None = None
    """This process' rank among the tasks of its srun step; None outside of one."""
    task_count: int = 1
    """Number of tasks of that step: srun started this program so many times."""
    launch_node: str | None = None
    """The node that this process is on; None on the login node."""
    end_time: float | None = None
    """Planned end of the job by its time limit, in s since 1970, as of its start; None before Slurm 23.02.

    Without a limit Slurm plans a year."""
    restart_count: int = 0
    array: tuple[int, int] | None = None
    """The ids of the job array and of the task in it.

    A job that was submitted from inside an array inherits these variables, and no variable distinguishes the two.
    So name the job to Slurm's commands by `exact_id`."""
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
    def exact_id(self) -> str:
        """The id by which Slurm's commands know exactly this job, see `hpcml.slurm.job_ids.exact_job_id`."""
        array, task = map(str, self.array or ("", ""))
        return exact_job_id(str(self.job_id), array, task)

    @property
    def label(self) -> str:
        """The job as Slurm's commands show it to people: ``7``, or ``5_2`` for a task of an array."""
        return f"{self.array[0]}_{self.array[1]}" if self.array else str(self.job_id)


def detect(env: Mapping[str, str]) -> Allocation | None:
    """Return the allocation that the environment `env` describes; None where there is none.

    Raises
    ------
    AllocationError
        The variables are partial, garbage, or contradict each other; the message lists all problems.

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
        shown = [_shortened(problem) for problem in found[:_MAX_PROBLEMS]]
        if len(found) > _MAX_PROBLEMS:
            shown.append(f"and {len(found) - _MAX_PROBLEMS} more")
        raise AllocationError(_ERROR.format(problems="\n  - ".join(shown), job=allocation.job_id))
    return allocation


def _shortened(problem: str) -> str:
    """Return a problem without the middle of a list of thousands of nodes."""
    return problem if len(problem) <= _MAX_PROBLEM_LENGTH else f"{problem[:250]} … {problem[-150:]}"


def _read(variables: SlurmVariables) -> Allocation:
    """Return the allocation; it is valid only if `variables.problems` is empty afterwards."""
    step = variables.number("SLURM_STEP_ID")
    rank = variables.number("SLURM_PROCID")
    step_of_srun = step is not None and step != _INTERACTIVE_STEP
    in_step = step_of_srun and not variables.step_is_left_over()
    suffixes = variables.suffixes()
    nodes = step_nodes(variables, suffixes) if in_step else job_nodes(variables, suffixes, step_of_srun)
    node_name = variables.text("SLURMD_NODENAME") or None
    if node_name and nodes and node_name not in {node.name for node in nodes}:
        variables.problems.append(f"SLURMD_NODENAME={node_name} is not among the nodes")
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
        launch_node=node_name,
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
