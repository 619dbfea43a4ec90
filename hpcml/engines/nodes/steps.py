"""Steps that run a program of an engine on every node."""

import sys
from collections.abc import Iterable, Sequence

from hpcml.engines.plan import Plan
from hpcml.interpreter import interpreter_options, worker_options
from hpcml.slurm.commands import SLURM_FAILED, worker_step
from hpcml.slurm.nodes import Node
from hpcml.slurm.process import Program

__all__ = [
    "Step",
    "container_options",
    "describe_refusal",
    "idle_steps",
    "python_module",
    "python_source",
    "worker_steps",
]

Step = tuple[tuple[Node, ...], list[str]]
# A copy may be gone when a program is started once more; then this Python starts the program.
FIRST_THERE = '[ -x "$1" ] && python=$1 || python=$0; shift; exec "$python" "$@"'

IDLE_SCRIPT = (
    """echo "{\\"node\\": \\"$SLURMD_NODENAME\\", \\"holds\\": \\"$SLURM_JOB_ID.$SLURM_STEP_ID\\"}"; exec cat"""
)


def python_module(plan: Plan, module: str) -> list[str]:
    """Return the command that runs a module with the Python of `plan`, and the options of this Python."""
    # -P: a file random.py in the working directory must not replace the library's module.
    return _python(plan, [*worker_options(interpreter_options(sys.orig_argv)), "-P", "-m", module])


def python_source(plan: Plan, source: str) -> list[str]:
    """Return the command that runs a program of the standard library alone with the Python of `plan`."""
    return _python(plan, ["-I", "-S", "-c", source])


def _python(plan: Plan, options: list[str]) -> list[str]:
    if plan.container is not None:
        return [*plan.container.command, plan.container.python, *options]
    if not plan.staged_python:
        return [sys.executable, *options]
    return ["sh", "-c", FIRST_THERE, sys.executable, plan.staged_python, *options]


def worker_steps(
    plan: Plan,
    nodes: Sequence[Node],
    program: Sequence[str],
    *,
    together: bool = False,
    contained: bool = True,
) -> list[Step]:
    """Return a step that runs `program` for each het group, with the group's nodes; see `worker_step`.

    A step has the GPUs of its nodes. With `contained` the step is in the container of `plan`, where there is one
    that srun starts.
    """
    het = plan.allocation is not None and plan.allocation.het_groups > 1
    steps = []
    for group in sorted({node.het_group for node in nodes}):
        members = tuple(node for node in nodes if node.het_group == group)
        names = [node.name for node in members]
        options = (*plan.gpus.step_options(names), *(container_options(plan) if contained else ()))
        command = worker_step(names, program, group if het else None, together=together, options=options)
        steps.append((members, command))
    return steps


def idle_steps(plan: Plan, nodes: Sequence[Node]) -> list[Step]:
    """Return steps that send the names of `nodes` and their own, then wait until their input ends."""
    return worker_steps(plan, nodes, ["sh", "-c", IDLE_SCRIPT], contained=False)


def container_options(plan: Plan) -> tuple[str, ...]:
    """Return the options of srun for the container of `plan`."""
    return plan.container.step_options if plan.container is not None else ()


def describe_refusal(programs: Iterable[Program]) -> str:
    """Return the advice where Slurm has refused all steps of the workers, else ""."""
    if any(program.status != SLURM_FAILED for program in programs):
        return ""
    return (
        "Slurm has refused to start the workers; its reason is in the log. If that is a job which is over, "
        "forget it:  unset ${!SLURM_@}"
    )
