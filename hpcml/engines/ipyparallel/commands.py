"""The commands that start the controller and the launchers, with and without Slurm."""

from collections.abc import Collection, Sequence

from hpcml.engines.nodes.steps import PYTHON, Step, worker_steps
from hpcml.engines.plan import Plan
from hpcml.slurm.commands import controller_step
from hpcml.slurm.nodes import Node

__all__ = ["controller_home", "holder_steps", "programs"]

HOLD = """echo "{\\"node\\": \\"$SLURMD_NODENAME\\", \\"holds\\": \\"$SLURM_JOB_ID.$SLURM_STEP_ID\\"}"; exec cat"""


def controller_home(plan: Plan, lost: Collection[str] = ()) -> Node:
    """Return the node of the controller: the driver's, else the first that is not `lost`."""
    here = plan.allocation.launch_node if plan.allocation is not None else ""
    living = [node for node in plan.nodes if node.name not in lost] or list(plan.nodes)
    return next((node for node in living if node.name == here), living[0])


def programs(plan: Plan, home: Node | None = None) -> tuple[list[str], list[Step]]:
    """Return the controller's command, and for each het group its nodes and the launchers' command."""
    controller = [*PYTHON, f"{__package__}.controller", str(plan.slots)]
    launcher = [*PYTHON, f"{__package__}.launcher"]
    if plan.allocation is None:
        (node,) = plan.nodes
        return controller, [((node,), [*launcher, node.name, *plan.preload])]
    home = home or controller_home(plan)
    het_group = home.het_group if plan.allocation.het_groups > 1 else None
    steps = worker_steps(plan, plan.nodes, [*launcher, "", *plan.preload])
    return controller_step(home.name, controller, het_group), steps


def holder_steps(plan: Plan, nodes: Sequence[Node]) -> list[Step]:
    """Return the steps that do nothing on `nodes` but say their names, until their input ends."""
    return worker_steps(plan, nodes, ["sh", "-c", HOLD])
