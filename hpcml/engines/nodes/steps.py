"""Steps that run a program of an engine on every node."""

import sys
from collections.abc import Sequence

from hpcml.engines.plan import Plan
from hpcml.interpreter import interpreter_options, worker_options
from hpcml.slurm.commands import worker_step
from hpcml.slurm.nodes import Node

__all__ = ["PYTHON", "Step", "worker_steps"]

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
