"""Plan of the workers of one job of a fleet, from the job's own report."""

import secrets
import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace

from hpcml.engines.plan import Plan, make_nodes
from hpcml.errors import AllocationError
from hpcml.slurm.allocation import detect
from hpcml.slurm.nodes import Node

__all__ = ["job_environment", "joined_nodes", "limit_of", "plan_of_job"]


def job_environment(driver: Mapping[str, str], job: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a shell that salloc would start for a job: the driver's, in that job.

    Examples
    --------
    >>> from hpcml.cluster.fleet.job_plan import job_environment
    >>> job_environment({"PATH": "/bin", "SLURM_JOB_ID": "6"}, {"SLURM_JOB_ID": "7"})
    {'PATH': '/bin', 'SLURM_JOB_ID': '7'}
    """
    outside = {name: value for name, value in driver.items() if not name.startswith(("SLURM_", "SLURMD_"))}
    cluster = {name: driver[name] for name in ("SLURM_CONF", "SLURM_CLUSTERS", "SLURM_JWT") if name in driver}
    return {**outside, **cluster, **job}


def limit_of(environment: Mapping[str, str]) -> float | None:
    """Return the time limit of a job in seconds, by its variables; None before Slurm 23.02.

    Examples
    --------
    >>> from hpcml.cluster.fleet.job_plan import limit_of
    >>> limit_of({"SLURM_JOB_START_TIME": "1000", "SLURM_JOB_END_TIME": "1060"})
    60.0
    """
    start, end = (environment.get(f"SLURM_JOB_{name}_TIME", "") for name in ("START", "END"))
    return float(int(end) - int(start)) if start.isdigit() and end.isdigit() else None


def plan_of_job(plan: Plan, environment: Mapping[str, str], *, min_slots: int | None) -> Plan:
    """Return the plan of the workers of one job, with a directory of its own in that of the run.

    Parameters
    ----------
    plan
        Plan of the Cluster.
    environment
        The job's variables.

    Raises
    ------
    AllocationError
        The variables do not describe a job.
    """
    whole = job_environment(plan.environment, environment)
    allocation = detect(whole)
    if allocation is None:
        raise AllocationError("the job has no SLURM_* variables")
    # Its name is also that of the data directories on the nodes.
    run_dir = plan.run_dir / f"job-{allocation.label}-{secrets.token_hex(3)}"
    run_dir.mkdir(mode=0o700)
    return replace(
        plan,
        nodes=make_nodes(allocation, 1, everywhere=True),
        allocation=allocation,
        run_dir=run_dir,
        environment=whole,
        min_slots=min_slots,
        data_dir=None,
        unwanted=threading.Event(),
    )


def joined_nodes(plans: Iterable[Plan]) -> tuple[Node, ...]:
    """Return the nodes of several jobs; a node that some of them share has the slots of all.

    Examples
    --------
    >>> from pathlib import Path
    >>> from hpcml.cluster.fleet.job_plan import joined_nodes
    >>> from hpcml.engines.plan import Plan
    >>> from hpcml.slurm.nodes import Node
    >>> plans = [Plan((Node("n1", 2),), None, Path(), {}), Plan((Node("n1", 4), Node("n2", 4)), None, Path(), {})]
    >>> [(node.name, node.slots) for node in joined_nodes(plans)]
    [('n1', 6), ('n2', 4)]
    """
    found: dict[str, Node] = {}
    for node in (node for plan in plans for node in plan.nodes):
        same = found.get(node.name)
        cpus = None if same is None or node.cpus is None else node.cpus + (same.cpus or 0)
        found[node.name] = node if same is None else replace(node, slots=node.slots + same.slots, cpus=cpus)
    return tuple(found.values())
