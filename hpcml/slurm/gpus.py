"""GPUs that a job holds on each node, from Slurm's own record of the job, which needs no driver.

The variables of a job do not have this: salloc's shell on a login node has none about GPUs, and a batch script has
the numbers of its own node alone.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from hpcml.slurm.hostlist import expand

__all__ = ["GpuGroup", "JobGpus", "parse_job_gpus"]

# Of `scontrol --details show job`: Nodes=n[1-2] CPU_IDs=0-1 Mem=400 GRES=gpu:fast:2(IDX:0-1),gpu:slow:0(IDX:)
_NODES = re.compile(r"\bNodes=(\S+) CPU_IDs=\S* Mem=\S* GRES=(\S*)")
_GROUP = re.compile(r"(?:^|,)gpu:(?:([^:,()]+):)?([0-9]{1,6})(?:\((?:IDX|CNT):([^)]*)\))?")
# TresPerNode=gres:gpu:2 in 22.05, gres/gpu:2 in 24.11
_ASKED_PER_NODE = re.compile(r"\bTresPerNode=\S*\bgres[:/]gpu\b")


@dataclass(frozen=True)
class GpuGroup:
    """GPUs of one type on a node.

    ``type`` is "" where the cluster names none. ``indexes`` are Slurm's numbers of the GPUs on the node, which are
    also those of ``SLURM_STEP_GPUS``, in Slurm's compact form.
    """

    type: str
    count: int
    indexes: str = ""

    def __str__(self) -> str:
        named = f"{self.count} {self.type}" if self.type else str(self.count)
        return f"{named} ({self.indexes})" if self.indexes else named


@dataclass(frozen=True)
class JobGpus:
    """GPUs of a job.

    Parameters
    ----------
    nodes
        The groups of each node that holds any.
    asked
        Of each node, the number that a step must ask for; see `step_options`.

    Examples
    --------
    >>> gpus = JobGpus({"n1": (GpuGroup("a100", 2, "0-1"), GpuGroup("v100", 1, "4"))})
    >>> gpus.count("n1"), gpus.count("n2"), gpus.describe("n1")
    (3, 0, '2 a100 (0-1), 1 v100 (4)')
    """

    nodes: Mapping[str, tuple[GpuGroup, ...]] = field(default_factory=dict)
    asked: Mapping[str, int] = field(default_factory=dict)

    def count(self, node: str) -> int:
        """Return the number of GPUs on a node."""
        return sum(group.count for group in self.nodes.get(node, ()))

    def describe(self, node: str) -> str:
        """Return the numbers, types and indexes of a node's GPUs in words; "" where it has none."""
        return ", ".join(str(group) for group in self.nodes.get(node, ()))

    def step_options(self, nodes: Iterable[str]) -> tuple[str, ...]:
        """Return options of srun for a step of one task on each of `nodes`: as many GPUs as each of them has.

        A job that asks for a number on each node, as by ``--gres=gpu:2``, needs none. Measured with Slurm 22.05
        and 24.11: in a job of ``--gpus-per-task=1`` such a step has one GPU a node; in one of ``--gpus=8``, one on
        the first node and the rest on others, or it is refused. A number for each node is right in all these jobs,
        but 22.05 refuses one that another node of the job does not have.
        """
        least = min((self.asked.get(node, 0) for node in nodes), default=0)
        return (f"--gres=gpu:{least}",) if least else ()


def parse_job_gpus(text: str) -> JobGpus:
    """Return the GPUs of a job, given what `hpcml.slurm.record_commands.job_details` prints about this job alone.

    Examples
    --------
    >>> from hpcml.slurm.gpus import parse_job_gpus
    >>> gpus = parse_job_gpus("Nodes=n[1-2] CPU_IDs=0 Mem=0 GRES=gpu:a100:2(IDX:0-1) TresPerTask=gres:gpu:1")
    >>> gpus.describe("n2"), gpus.step_options(["n1", "n2"])
    ('2 a100 (0-1)', ('--gres=gpu:2',))
    """
    held: dict[str, tuple[GpuGroup, ...]] = {}
    asked: dict[str, int] = {}
    for component in text.splitlines():
        nodes = _component(component)
        for name, groups in nodes.items():
            held[name] = held.get(name, ()) + groups  # two components may share a node
        if not _ASKED_PER_NODE.search(component):
            least = min((sum(group.count for group in groups) for groups in nodes.values()), default=0)
            asked |= dict.fromkeys(nodes, least)
    return JobGpus(held, asked)


def _component(line: str) -> dict[str, tuple[GpuGroup, ...]]:
    """Return the GPUs on each node of a component of a heterogeneous job, or of a job that is none."""
    nodes: dict[str, tuple[GpuGroup, ...]] = {}
    for names, gres in _NODES.findall(line):
        found = [GpuGroup(kind, int(count), indexes) for kind, count, indexes in _GROUP.findall(gres)]
        groups = tuple(group for group in found if group.count)
        nodes |= dict.fromkeys(expand(names), groups) if groups else {}
    return nodes
