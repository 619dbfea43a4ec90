"""Request of a Cluster for nodes: filled by the allocation that this process is in, or by jobs. Pure functions."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from hpcml.cluster.fleet import holder
from hpcml.cluster.options import OF_A_REQUEST, Options
from hpcml.engines.plan import Plan
from hpcml.slurm.allocation import Allocation
from hpcml.slurm.jobs.partitions import parse_time_limit
from hpcml.slurm.jobs.script import JobScript
from hpcml.slurm.jobs.site import Site
from hpcml.slurm.nodes import Node

__all__ = [
    "Request",
    "Timing",
    "allocation_for",
    "is_filled_by",
    "job_sizes",
    "options_in_allocation",
    "request_of",
]


@dataclass(frozen=True)
class Timing:
    """Times of a fleet, in seconds.

    Parameters
    ----------
    beat
        From one sign of life of the driver to the next, and from one look of a job to the next.
    first, silence
        Without a sign of life, until a job ends: after its start, and later.
    """

    beat: float = 5.0
    first: float = 15.0
    silence: float = 45.0


@dataclass(frozen=True)
class Request:
    """Nodes that a Cluster asks Slurm for.

    Parameters
    ----------
    nodes
        Nodes of all jobs together, at first.
    nodes_per_job
        Nodes of one job at most.
    options
        Options of sbatch for each job, but for its nodes; see `hpcml.slurm.jobs.script.JobScript`.
    ntasks_per_node
        Slots of a node; None: as Slurm has it.
    idle_timeout
        Seconds without tasks, after which all jobs end; None: they stay.
    queue_timeout
        Seconds in which the first job must start; None: no limit.
    """

    nodes: int
    nodes_per_job: int
    options: Mapping[str, str | None]
    ntasks_per_node: int | None = None
    idle_timeout: float | None = None
    queue_timeout: float | None = None
    timing: Timing = Timing()

    @property
    def limit_seconds(self) -> float | None:
        """Time limit that is asked for; None where none is, or where Slurm alone can read it."""
        minutes = parse_time_limit(self.options.get("time") or "")
        return None if minutes is None else 60 * minutes

    def describe(self, nodes: int) -> str:
        """Return a job of `nodes` nodes in words."""
        tasks = f" of {self.ntasks_per_node} slots" if self.ntasks_per_node else ""
        limit = self.limit_seconds
        time_limit = "" if limit is None else f", for {limit / 60:g} min"
        return f"{nodes} node{'s' * (nodes != 1)}{tasks}{time_limit}"

    def script(self, nodes: int, python: str, directory: Path, report: Path, site: Site) -> JobScript:
        """Return the file of a job of `nodes` nodes, which holds them until the driver ends.

        Parameters
        ----------
        python
            The interpreter.
        directory
            Directory of the fleet, for the heartbeat and the jobs' output.
        report
            The file in which the job describes itself.
        """
        timing = self.timing
        numbers = (timing.beat, timing.first, timing.silence)
        return JobScript(
            options={"nodes": str(nodes), **self.options, "output": f"{_escaped(directory)}/job-%j.log"},
            command=(
                *(python, "-I", "-S", holder.__file__, str(directory / "heartbeat"), str(report)),
                *(f"{number:g}" for number in numbers),
            ),
            modules=site.modules,
            setup=site.setup,
        )


def _escaped(directory: Path) -> str:
    """Return a path as a FILENAME PATTERN of sbatch(1)."""
    return str(directory).replace("%", "%%")


def request_of(options: Options, site: Site, timing: Timing) -> Request:
    """Return the request that options of a Cluster make; a user's options come before those of the site."""
    assert options.nodes is not None
    named = {
        "ntasks-per-node": options.ntasks_per_node,
        "cpus-per-task": options.cpus_per_task,
        "time": options.time,
        "partition": options.partition,
        "account": options.account,
    }
    given = {name: str(value) for name, value in named.items() if value is not None}
    return Request(
        nodes=options.nodes,
        nodes_per_job=options.nodes_per_job or options.nodes,
        # A node that is lost must not end the job, and a job that Slurm puts back would begin without its driver.
        options={
            "job-name": "hpcml-cluster",
            "no-kill": None,
            "no-requeue": None,
            **site.sbatch,
            **given,
            **dict(options.sbatch or ()),
        },
        ntasks_per_node=options.ntasks_per_node,
        idle_timeout=options.idle_timeout,
        queue_timeout=options.queue_timeout,
        timing=timing,
    )


def job_sizes(nodes: int, nodes_per_job: int) -> list[int]:
    """Return the numbers of nodes of the jobs that together have `nodes` nodes.

    Examples
    --------
    >>> from hpcml.cluster.fleet.request import job_sizes
    >>> job_sizes(5, 2), job_sizes(0, 2)
    ([2, 2, 1], [])
    """
    return [min(nodes_per_job, nodes - start) for start in range(0, nodes, nodes_per_job)]


def allocation_for(options: Options, allocation: Allocation | None) -> Allocation | None:
    """Return the part of an allocation that has what `options` ask for; None where it has not.

    Examples
    --------
    >>> from hpcml.cluster.fleet.request import allocation_for
    >>> from hpcml.cluster.options import OF_A_REQUEST, Options
    >>> from hpcml.slurm.allocation import Allocation
    >>> from hpcml.slurm.nodes import Node
    >>> job = Allocation(7, (Node("n1", 1, cpus=4), Node("n2", 4, cpus=4), Node("n3", 4, cpus=4)), "batch")
    >>> allocation_for(Options(nodes=2, ntasks_per_node=4), job).hosts
    ('n1', 'n2')
    >>> allocation_for(Options(nodes=4), job) is None
    True
    """
    if allocation is None or options.nodes is None:
        return None
    usable = [node for node in allocation.nodes if _has_room(node, options)]
    if len(usable) < options.nodes:
        return None
    # The driver's own node first: the controller is there.
    nearest = sorted(usable, key=lambda node: node.name != allocation.launch_node)[: options.nodes]
    return replace(allocation, nodes=tuple(node for node in usable if node in nearest))


def _has_room(node: Node, options: Options) -> bool:
    cpus = node.cpus or node.slots * node.cpus_per_slot
    slots = options.ntasks_per_node or (node.slots if options.cpus_per_task is None else 1)
    return (
        slots * (options.cpus_per_task or (node.cpus_per_slot if options.ntasks_per_node is None else 1)) <= cpus
    )


def is_filled_by(options: Options, plan: Plan) -> bool:
    """Return whether the workers of a plan are what `options` ask for, or more."""
    if options.nodes is None:
        return True
    filling = [
        node
        for node in plan.nodes
        if node.slots >= (options.ntasks_per_node or 1) and options.cpus_per_task in (None, node.cpus_per_slot)
    ]
    return plan.allocation is not None and len(filling) >= options.nodes


def options_in_allocation(options: Options) -> Options:
    """Return options of a Cluster whose request an allocation fills."""
    return replace(
        options,
        **dict.fromkeys(("nodes", *OF_A_REQUEST)),  # type: ignore[arg-type]  # None is the default of each
        slots_per_node=options.ntasks_per_node or options.slots_per_node,
        cpus_per_slot=options.cpus_per_task or options.cpus_per_slot,
    )
