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

_GPUS_OF_SLURM = ("SLURM_JOB_GPUS", "SLURM_STEP_GPUS", "SLURM_GPUS_ON_NODE")  # numbers of the node, not of CUDA


def print_info(arguments: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Print the allocation that `environment` describes, or this computer; return the exit status."""
    from hpcml.slurm.allocation import detect

    facts = describe(detect(environment), environment)
    if arguments.json:
        print(json.dumps(facts, indent=2))
        return 0
    from tabulate import tabulate

    nodes, here = facts.pop("nodes"), facts.pop("gpus_here")
    known = [(name.replace("_", " "), value) for name, value in facts.items() if value is not None]
    print(tabulate(known, tablefmt="plain"))
    print()
    print(tabulate([list(node.values()) for node in nodes], [key.replace("_", " ") for key in nodes[0]]))
    if here is not None:
        variables = [f"{name}={value}" for name, value in here["variables"].items()]
        print("\nGPUs that this process may use:", *variables)
        if here["devices"]:
            print(tabulate(here["devices"], "keys"))
    return 0


def describe(allocation: "Allocation | None", environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the facts that ``hpcml info`` prints, as plain data."""
    if allocation is None:
        from hpcml.cluster.opening import usable_cpus

        cpus = usable_cpus()
        node = {"name": os.uname().nodename, "slots": cpus, "cpus_per_slot": 1, "cpus": cpus}
        facts = {"slurm": False, "engine": "local", "slots": cpus, "nodes": [node]}
        return {**facts, "gpus_here": _gpus_here(environment)}
    from hpcml.slurm.queries import end_time

    facts = dataclasses.asdict(allocation)
    # Before Slurm 23.02 no variable holds the end of the job.
    facts["end_time"] = _local_time(allocation.end_time or end_time(allocation.exact_id))
    del facts["nodes"]
    nodes = _with_gpus([dataclasses.asdict(node) for node in allocation.nodes], allocation, environment)
    return {
        "slurm": True,
        "engine": "ipyparallel",
        "job": allocation.label,
        "slots": allocation.slots,
        **facts,
        "nodes": nodes,
        "gpus_here": _gpus_here(environment),
    }


def _with_gpus(
    nodes: list[dict[str, Any]], allocation: "Allocation", environment: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return the facts about nodes, with the GPUs that Slurm's record of the job has on each."""
    from hpcml.errors import CommandError
    from hpcml.slurm.queries import job_gpus

    try:
        gpus = job_gpus(allocation.exact_id, environment)
    except CommandError:  # the variables have the numbers of some jobs
        return nodes
    if not gpus.nodes:
        return nodes
    return [
        {**node, "gpus": gpus.count(node["name"]), "types_of_gpus": gpus.describe(node["name"])} for node in nodes
    ]


def _gpus_here(environment: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the variables and devices of the GPUs that this process may use; None where there are none."""
    from hpcml.engines.nodes.devices import find_devices
    from hpcml.slurm.gpu_masks import MASKS

    variables = {name: environment[name] for name in (*_GPUS_OF_SLURM, *MASKS) if environment.get(name)}
    devices = [
        {**dataclasses.asdict(device), "instances": " ".join(device.instances)} for device in find_devices()
    ]
    return {"variables": variables, "devices": devices} if variables or devices else None


def _local_time(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.datetime.fromtimestamp(seconds).isoformat(" ", "seconds")
