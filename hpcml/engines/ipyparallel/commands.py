"""Commands that start the controller and the launchers, with and without Slurm."""

from collections.abc import Collection

from hpcml.engines.nodes.steps import Step, container_options, python_module, worker_steps
from hpcml.engines.plan import Plan
from hpcml.slurm.commands import controller_step
from hpcml.slurm.nodes import Node

__all__ = ["controller_node", "programs"]

def controller_node(plan: Plan, lost: Collection[str] = ()) -> Node:
    """Return the node of the controller: the driver's, else the first that is not `lost`."""
    here = plan.allocation.launch_node if plan.allocation is not None else ""
    living = [node for node in plan.nodes if node.name not in lost] or list(plan.nodes)
    return next((node for node in living if node.name == here), living[0])


def programs(plan: Plan, node: Node | None = None) -> tuple[list[str], list[Step]]:
    """Return the controller's command, and the launchers' step of each het group: its nodes and command."""
    controller = [*python_module(plan, f"{__package__}.controller"), str(plan.slots)]
    launcher = python_module(plan, f"{__package__}.launcher")
    # A launcher that has imported it would be a rank itself.
    preload = [name for name in plan.preload if not (plan.mpi and name.partition(".")[0] == "mpi4py")]
    if plan.allocation is None:
        (here,) = plan.nodes
        return controller, [((here,), [*launcher, here.name, *preload])]
    node = node or controller_node(plan)
    het_group = node.het_group if plan.allocation.het_groups > 1 else None
    steps = worker_steps(plan, plan.nodes, [*launcher, "", *preload])
    return controller_step(node.name, controller, het_group, container_options(plan)), steps
