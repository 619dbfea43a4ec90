"""The driver's side of engine ipyparallel without its programs: a plan of a job, and programs that only record."""

from pathlib import Path
from types import SimpleNamespace

from hpcml.engines.plan import Plan
from hpcml.slurm.allocation import Allocation
from hpcml.slurm.nodes import Node

NODES = tuple(Node(f"n{number}", 2, cpus=2) for number in (1, 2, 3))


def job_plan(directory: Path, timeout: float = 60.0, **options) -> Plan:
    """Return the plan of a job of three nodes with two slots each, whose driver runs on n1."""
    allocation = Allocation(7, NODES, "batch", launch_node="n1")
    return Plan(NODES, allocation, directory, {}, timeout=timeout, **options)


class Recorded:
    """A program that is not started: it records the messages that it is sent, and whether it was terminated."""

    def __init__(self, name, command, environment, inbox, log):
        self.name = name
        self.command = " ".join(command)
        self.log = log
        self.sent = []
        self.status = None
        self.is_terminated = False

    def send(self, message):
        self.sent.append(message)

    def terminate(self):
        self.is_terminated = True

    def log_tail(self, label=None):
        return "    the end of a log"


class Workers(SimpleNamespace):
    """Workers as `Recovery` sees them."""

    def __init__(self, *hosts):
        super().__init__(hosts_with_engines=set(hosts), lost=[], failures=[], reasons=[])

    @property
    def slots(self):
        return 2 * len(self.hosts_with_engines)

    def lose(self, hosts, reason):
        self.hosts_with_engines -= hosts
        self.lost.append((set(hosts), reason))

    def disconnect(self, reason):
        self.hosts_with_engines = set()
        self.reasons.append(reason)

    def fail(self, reason):
        self.failures.append(reason)
