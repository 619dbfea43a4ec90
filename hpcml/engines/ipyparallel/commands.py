"""The commands that start the controller and the launchers, with and without Slurm."""

import sys

from hpcml.allocation import Node
from hpcml.plan import Plan
from hpcml.srun import controller_step, worker_step

__all__ = ["programs"]

PYTHON = (sys.executable, "-P", "-u", "-m")  # -P: a random.py in the working directory is not our library


def programs(plan: Plan) -> tuple[list[str], list[tuple[tuple[Node, ...], list[str]]]]:
    """Return the controller's command, and for each het group its nodes and the launchers' command."""
    controller = [*PYTHON, f"{__package__}.controller", str(plan.slots)]
    launcher = [*PYTHON, f"{__package__}.launcher"]
    if plan.allocation is None:
        (node,) = plan.nodes
        return controller, [((node,), [*launcher, node.name, *plan.preload])]
    het = plan.allocation.het_groups > 1
    home = next((node for node in plan.nodes if node.name == plan.allocation.launch_node), plan.nodes[0])
    steps = []
    for group in sorted({node.het_group for node in plan.nodes}):
        nodes = tuple(node for node in plan.nodes if node.het_group == group)
        names = [node.name for node in nodes]
        steps.append((nodes, worker_step(names, [*launcher, "", *plan.preload], group if het else None)))
    return controller_step(home.name, controller, home.het_group if het else None), steps
