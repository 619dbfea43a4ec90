"""Steps that run a program of an engine on every node."""

import sys
from collections.abc import Iterable, Sequence

from hpcml.engines.plan import Plan
from hpcml.interpreter import interpreter_options, worker_options
from hpcml.slurm.commands import SLURM_FAILED, worker_step
from hpcml.slurm.nodes import Node
from hpcml.slurm.process import Program

__all__ = ["PYTHON", "Step", "describe_refusal", "worker_steps"]

# -P: a file random.py in the working directory must not replace the library's module.
PYTHON = (sys.executable, *worker_options(interpreter_options(sys.orig_argv)), "-P", "-m")
Step = tuple[tuple[Node, ...], list[str]]


def worker_steps(
    plan: Plan, nodes: Sequence[Node], program: Sequence[str], *, together: bool = False
) -> list[Step]:
    """Return a step that runs `program` for each het group, with the group's nodes; see `worker_step`."""
    het = plan.allocation is not None and plan.allocation.het_groups > 1
    steps = []
    for group in sorted({node.het_group for node in nodes}):
        members = tuple(node for node in nodes if node.het_group == group)
        names = [node.name for node in members]
        steps.append((members, worker_step(names, program, group if het else None, together=together)))
    return steps


def describe_refusal(programs: Iterable[Program]) -> str:
    """Return the advice where Slurm has refused all steps of the workers, else ""."""
    if any(program.status != SLURM_FAILED for program in programs):
        return ""
    return (
        "Slurm has refused to start the workers; its reason is in the log. If that is a job which is over, "
        "forget it:  unset ${!SLURM_@}"
    )
