"""Partitions of the cluster, and requests that none of their nodes can fill."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = [
    "NodeGroup",
    "Partition",
    "hidden_nodes",
    "parse_memory",
    "parse_partitions",
    "parse_time_limit",
    "unmet_request",
]

_MEGABYTES = {"K": 1 / 1024, "M": 1, "G": 1024, "T": 1024**2}


@dataclass(frozen=True)
class NodeGroup:
    """Nodes that are alike: their number, and CPUs and memory in MB of each."""

    nodes: int
    cpus: int
    memory: int


@dataclass(frozen=True)
class Partition:
    """A partition: its name, time limit in minutes (None: no limit), and nodes."""

    name: str
    is_default: bool
    time_limit: float | None
    groups: tuple[NodeGroup, ...]


def parse_partitions(text: str) -> dict[str, Partition]:
    """Return the partitions in the output of `hpcml.slurm.commands.partition_query`, by name.

    Examples
    --------
    >>> from hpcml.slurm.jobs.partitions import parse_partitions
    >>> parse_partitions("main*|up|1-00:00:00|3|4|4000|(null)|1-infinite\\n")["main"]
    Partition(name='main', is_default=True, time_limit=1440.0, groups=(NodeGroup(nodes=3, cpus=4, memory=4000),))
    """
    found: dict[str, Partition] = {}
    for line in text.splitlines():
        name, _, limit, nodes, cpus, memory, *_ = line.split("|")
        key = name.removesuffix("*")
        before = found.get(key)
        group = NodeGroup(*(int(re.sub(r"\D.*", "", number) or 0) for number in (nodes, cpus, memory)))
        groups = (*before.groups, group) if before else (group,)
        found[key] = Partition(key, name.endswith("*"), parse_time_limit(limit), groups)
    return found


def parse_time_limit(text: str) -> float | None:
    """Return the minutes of a time limit as sbatch and sinfo have it; None for no limit, or for no time at all.

    Examples
    --------
    >>> from hpcml.slurm.jobs.partitions import parse_time_limit
    >>> [parse_time_limit(text) for text in ("90", "1:30:00", "2-12", "1-00:30", "30:30", "infinite")]
    [90.0, 90.0, 3600.0, 1470.0, 30.5, None]
    """
    match = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", text.strip())
    if match is None:
        return None
    days, first, second, third = (None if group is None else int(group) for group in match.groups())
    if days is not None:  # days-hours:minutes:seconds
        return days * 1440.0 + (first or 0) * 60 + (second or 0) + (third or 0) / 60
    if third is not None:  # hours:minutes:seconds
        return (first or 0) * 60.0 + (second or 0) + third / 60
    return (first or 0) + (second or 0) / 60  # minutes:seconds


def parse_memory(text: str) -> float | None:
    """Return the MB of a size such as ``4000`` or ``16G``; None where it is no size.

    Examples
    --------
    >>> from hpcml.slurm.jobs.partitions import parse_memory
    >>> parse_memory("16G"), parse_memory("4000"), parse_memory("much")
    (16384, 4000, None)
    """
    match = re.fullmatch(r"(\d+)([KMGT]?)B?", text.strip(), re.IGNORECASE)
    return None if match is None else int(match[1]) * _MEGABYTES[match[2].upper() or "M"]


def hidden_nodes(text: str, partitions: Mapping[str, Partition]) -> set[str]:
    """Return the partitions with more nodes than `parse_partitions` has found.

    These nodes are in the cloud and off: releases before 23.02 show them to administrators alone. `text` is the
    output of `hpcml.slurm.record_commands.partitions_record`.

    Examples
    --------
    >>> from hpcml.slurm.jobs.partitions import NodeGroup, Partition, hidden_nodes
    >>> shown = {"main": Partition("main", True, None, (NodeGroup(1, 4, 4000),))}
    >>> hidden_nodes("PartitionName=main State=UP TotalCPUs=12 TotalNodes=3 DefMemPerCPU=200", shown)
    {'main'}
    """
    totals = dict(re.findall(r"PartitionName=(\S+) .*?\bTotalNodes=(\d+)", text))
    return {
        name
        for name, partition in partitions.items()
        if int(totals.get(name, 0)) > sum(group.nodes for group in partition.groups)
    }


def unmet_request(options: Mapping[str, str | None], partitions: Mapping[str, Partition]) -> str:
    """Return which limit a job's options exceed on each partition that they allow; "" where one of these fits.

    Some releases of Slurm take such a job, and it then waits for ever. Only clear cases count.

    Examples
    --------
    >>> from hpcml.slurm.jobs.partitions import NodeGroup, Partition, unmet_request
    >>> main = Partition("main", True, 60.0, (NodeGroup(3, 4, 4000),))
    >>> unmet_request({"nodes": "9"}, {"main": main})
    'partition main has 3 nodes, and the job asks for 9'
    """
    names = (options.get("partition") or "").split(",")
    chosen = [partitions[name] for name in names if name in partitions]
    if names == [""]:
        chosen = [partition for partition in partitions.values() if partition.is_default]
    problems = [_exceeded(options, partition) for partition in chosen]
    return "" if "" in problems else "; ".join(problems)


def _exceeded(options: Mapping[str, str | None], partition: Partition) -> str:
    minutes = parse_time_limit(options.get("time") or "")
    if minutes is not None and partition.time_limit is not None and minutes > partition.time_limit:
        return (
            f"partition {partition.name} allows {partition.time_limit:g} minutes, and the job asks for {minutes:g}"
        )
    nodes = _number(options, "nodes")
    cpus = _number(options, "cpus-per-task") * _number(options, "ntasks-per-node")
    memory = parse_memory(options.get("mem") or "") or 0
    fitting = [group for group in partition.groups if group.cpus >= cpus and group.memory >= memory]
    total = sum(group.nodes for group in partition.groups)
    if nodes > total:
        return f"partition {partition.name} has {total} nodes, and the job asks for {nodes}"
    if nodes > sum(group.nodes for group in fitting):
        return _too_small(partition, fitting, nodes, cpus, memory)
    wanted = _number(options, "ntasks", 0) * _number(options, "cpus-per-task")
    available = sum(group.nodes * group.cpus for group in partition.groups)
    if wanted > available and "overcommit" not in options:
        return f"partition {partition.name} has {available} CPUs, and the job's tasks ask for {wanted}"
    return ""


def _too_small(partition: Partition, fitting: Sequence[NodeGroup], nodes: int, cpus: int, memory: float) -> str:
    needs = f"{cpus} CPU{'s' * (cpus != 1)}" + (f" and {memory:.0f} MB" if memory else "")
    largest = max(partition.groups, key=lambda group: (group.cpus, group.memory))
    count = sum(group.nodes for group in fitting)
    return (
        f"partition {partition.name} has {count or 'no'} node{'s' * (count != 1)} of {needs}, and the job asks "
        f"for {nodes} of these (its largest node has {largest.cpus} CPUs and {largest.memory} MB)"
    )


def _number(options: Mapping[str, str | None], name: str, default: int = 1) -> int:
    """Return the number of an option, the least of a range; `default` where there is none."""
    match = re.match(r"\d+", options.get(name) or "")
    return int(match[0]) if match else default
