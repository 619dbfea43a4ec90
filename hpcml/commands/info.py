"""``hpcml info``: the allocation that was detected, or this computer outside Slurm."""

import argparse
import dataclasses
import datetime
import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpcml.slurm.allocation import Allocation

__all__ = ["describe", "print_info"]


def print_info(arguments: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Print the allocation that `environment` describes, or this computer; return the exit status."""
    from hpcml.slurm.allocation import detect

    facts = describe(detect(environment))
    if arguments.json:
        print(json.dumps(facts, indent=2))
        return 0
    from tabulate import tabulate

    nodes = facts.pop("nodes")
    known = [(name.replace("_", " "), value) for name, value in facts.items() if value is not None]
    print(tabulate(known, tablefmt="plain"))
    print()
    print(tabulate([list(node.values()) for node in nodes], [key.replace("_", " ") for key in nodes[0]]))
    return 0


def describe(allocation: "Allocation | None") -> dict[str, Any]:
    """Return the facts that ``hpcml info`` prints, as plain data."""
    if allocation is None:
        from hpcml.cluster.opening import usable_cpus

        cpus = usable_cpus()
        node = {"name": os.uname().nodename, "slots": cpus, "cpus_per_slot": 1, "cpus": cpus}
        return {"slurm": False, "engine": "local", "slots": cpus, "nodes": [node]}
    from hpcml.slurm.queries import end_time

    facts = dataclasses.asdict(allocation)
    # Before Slurm 23.02 no variable holds the end of the job.
    facts["end_time"] = _local_time(allocation.end_time or end_time(allocation.job_id))
    nodes = facts.pop("nodes")
    return {
        "slurm": True,
        "engine": "ipyparallel",
        "job": allocation.label,
        "slots": allocation.slots,
        **facts,
        "nodes": list(nodes),
    }


def _local_time(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.datetime.fromtimestamp(seconds).isoformat(" ", "seconds")
