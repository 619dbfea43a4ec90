"""Facts of an examination as they were recorded on a healthy job of three nodes, to be changed by a test."""

from dataclasses import replace

from hpcml.commands.doctor.facts import Computer, Facts, NodeFacts, Place, SlurmFacts, StepFacts
from hpcml.slurm.allocation import Allocation
from hpcml.slurm.nodes import Node

NODES = tuple(Node(f"n{number}", slots=2, cpus=2, memory=4000) for number in (1, 2, 3))
VERSIONS = {"hpcml": "0.1.0", "joblib": "1.6.0", "ipyparallel": "9.1.0", "numpy": "2.4.6", "pyzmq": "27.3.0"}
UNLIMITED = dict.fromkeys(("AS", "DATA", "CPU", "FSIZE"), (-1, -1))
LIMITS = {"NOFILE": (1024, 20000), "NPROC": (95000, 95000), **UNLIMITED}


def computer(name, **changes):
    """Return a computer with two CPUs and 4 GB."""
    places = {
        "shared memory": Place("/dev/shm", "tmpfs", 2 * 10**9, 2 * 10**9),
        "temporary directory": Place("/tmp", "tmpfs", 10**10, 10**10),
        "home": Place("/home/me", "nfs4", 10**12, 10**11),
    }
    places |= changes.pop("places", {})
    node = name if name.startswith("n") else ""
    address = f"10.32.1.{name[1:]}" if node else "10.32.0.1"
    values = {
        "uid": 1000, "addresses": (address,), "cpus": 2, "online": 2, "memory": 4 * 10**9, "python": "3.11.7",
        "versions": VERSIONS, "limits": LIMITS, "places": places,
    }  # fmt: skip
    values["limits"] = LIMITS | changes.pop("limits", {})
    return Computer(name, node, **values | changes)


def node_facts(name, **changes):
    """Return the facts of a node whose probe came to its end."""
    reached = {"127.0.0.1": "" if name == "n1" else "somebody else answers", "10.32.1.1": ""}
    values = {
        "start_seconds": 0.4, "clock": (-0.01, 0.02), "computer": computer(name), "controller_reached": reached,
        "driver_reached": {"127.0.0.1": "Connection refused", "10.32.0.1": ""},
        "reached_back": {"127.0.0.1": "Connection refused", f"10.32.1.{name[1:]}": ""},
        "files": {"directory": "", "trial": "shared", "lock": ""}, "imports": {"zmq": 0.1, "numpy": 0.2},
        "described": True,
    }  # fmt: skip
    return NodeFacts(**values | changes)


def job(nodes=NODES, /, **changes):
    """Return the facts of a job; ``n2=…`` replaces those of a node, other names are fields of `Facts`."""
    seen = {node.name: changes.pop(node.name, node_facts(node.name)) for node in nodes}
    config = {"MpiDefault": "none"}
    slurm = SlurmFacts("slurm 24.11.5", config=config, mpi_types=("none", "pmix"), seconds_left=3000)
    allocation = Allocation(7, nodes, "login")
    values = {
        "driver": computer("login"), "allocation": allocation, "nodes": nodes, "seen": seen, "controller": "n1",
        "slurm": slurm, "step": StepFacts(60.0), "directory": Place("/home/me/project", "nfs4", 10**12, 10**11),
    }  # fmt: skip
    return Facts(**values | changes)


def laptop(**changes):
    """Return the facts of a computer without Slurm."""
    here = computer("laptop", addresses=("127.0.1.1",))
    return replace(Facts(here, directory=Place("/home/me", "ext4", 10**12, 10**11)), **changes)
