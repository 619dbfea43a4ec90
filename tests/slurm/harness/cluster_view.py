"""View of a test cluster: its state, and commands that run on it; no function here changes the cluster."""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cluster_ns as ns
from cluster_conf import LOGIN, ClusterError, Shape


@dataclass(frozen=True)
class Process:
    """Process on a node: its id on this computer, its id on the node, its command."""

    pid: int
    node_pid: int
    argv: tuple[str, ...]


def _is_daemon(process: Process) -> bool:
    # A slurmstepd writes its title over its arguments: "slurmstepd: [7.0]".
    name = process.argv[0].split()[0] if process.argv and process.argv[0].strip() else ""
    return os.path.basename(name).rstrip(":") in ("slurmd", "slurmstepd")


def state_root() -> Path:
    """Return the directory of the clusters' states: not below /tmp, of which every node has its own."""
    return Path(os.environ.get("HPCML_TEST_STATE", "/var/lib/hpcml-test"))


class ClusterView:
    """Cluster of one name, as its state directory and the system's process table show it."""

    def __init__(self, name: str = "hpcml") -> None:
        if not name.replace("-", "").replace(".", "").replace("_", "").isalnum():
            raise ClusterError(f"a cluster's name is made of letters, digits, '-', '_' and '.', not {name!r}")
        self.name = name
        self.state = state_root() / name

    # -- the record ------------------------------------------------------------------------------------------
    def record(self) -> dict[str, Any]:
        """Return the record of `up`: shape, process ids and owner; empty where there is no cluster."""
        try:
            return json.loads((self.state / "cluster.json").read_text())
        except FileNotFoundError:
            return {}

    def update(self, **values: Any) -> None:
        temporary = self.state / f"cluster.json.{os.getpid()}"
        temporary.write_text(json.dumps(self.record() | values))
        temporary.replace(self.state / "cluster.json")

    @property
    def shape(self) -> Shape:
        record = self.record()
        if "shape" not in record:
            raise ClusterError(f"no cluster named {self.name!r} is up; start it with: "
                               f"cluster up --name {self.name}")
        values = record["shape"]
        return Shape(**values | {name: tuple(values[name]) for name in ("cpus", "cloud", "binds", "gpu_types")})

    @property
    def nodes(self) -> tuple[str, ...]:
        return self.shape.nodes

    @property
    def holder(self) -> int:
        """Return the process that holds the namespaces of the login node."""
        self.check_up()
        return self.record()["holder"]

    def is_up(self) -> bool:
        holder = self.record().get("holder")
        return holder is not None and ns.is_marked(holder, self.state)

    def check_up(self) -> None:
        _ = self.shape
        if not self.is_up():
            raise ClusterError(f"cluster {self.name!r} has died; remove its remains with: "
                               f"cluster down --name {self.name}")

    def check_node(self, node: str) -> None:
        if node not in self.nodes:
            raise ClusterError(f"unknown node {node!r}; known are {', '.join(self.nodes)}")

    # -- running commands ------------------------------------------------------------------------------------
    def login_command(self, argv: Sequence[str], cwd: str | os.PathLike[str] = ".") -> list[str]:
        """Return the command for this computer that runs `argv` on the login node, in the directory `cwd`."""
        directory = os.path.abspath(cwd)
        if not self.seen_by(LOGIN, directory).is_dir():
            raise ClusterError(f"{directory} does not exist on the login node; "
                               f"show it there with: cluster up --bind {directory}")
        return ns.enter(self.holder, argv, directory)

    def node_command(self, node: str, argv: Sequence[str]) -> list[str]:
        """Return the command for this computer that runs `argv` on a node, as root, past Slurm."""
        init = str(self.running_node(node))
        return ["nsenter", "-t", init, "-m", "-n", "-u", "-i", "-p", "-r", "--wdns=/", "--", *argv]

    def environment(self, base: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return `base`, or this process's environment, as on the login node."""
        return ns.environment(os.environ if base is None else base, self.state)

    def call(self, argv: Sequence[str], timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a command of Slurm on the login node, without a check of its exit code."""
        return subprocess.run(ns.enter(self.holder, argv), env=self.environment(), timeout=timeout, text=True,
                              capture_output=True, check=False, stdin=subprocess.DEVNULL)

    # -- what there is ---------------------------------------------------------------------------------------
    def node_states(self) -> dict[str, str]:
        """Return sinfo's state of each node."""
        done = self.call(["sinfo", "--noheader", "--Node", "--partition=main", "--format=%N %T"])
        return dict(line.split() for line in done.stdout.splitlines())

    def unshare_pid(self, node: str) -> int | None:
        """Return the process whose end is the end of the node; None where the node does not run."""
        self.check_node(node)
        pid = self.record()["nodes"].get(node)
        return pid if pid and ns.is_marked(pid, self.state) else None

    def init_pid(self, node: str) -> int | None:
        """Return the first process on a node, None where the node does not run."""
        parent = self.unshare_pid(node)
        children = ns.children(parent) if parent else []
        return children[0] if children else None

    def running_node(self, node: str) -> int:
        pid = self.init_pid(node)
        if pid is None:
            raise ClusterError(f"node {node} does not run; start it with: cluster boot-node {node}")
        return pid

    def all_processes(self, node: str) -> list[Process]:
        """Return all processes on a node, in order of their ids there."""
        init = self.init_pid(node)
        if init is None:
            return []
        pids = ns.in_namespace("pid", ns.namespace(init, "pid"))
        found = [Process(pid, ns.inner_pid(pid), tuple(ns.argv_of(pid))) for pid in pids]
        return sorted(found, key=lambda process: process.node_pid)

    def processes(self, node: str) -> list[Process]:
        """Return the processes of jobs on a node: all but Slurm's daemons and the node's own shell.

        On the login node: the processes that were started there.
        """
        if node == LOGIN:
            return self._login_processes()
        init = self.init_pid(node)
        return [process for process in self.all_processes(node)
                if process.pid != init and not _is_daemon(process) and not self._is_sleep(process, init)]

    def _login_processes(self) -> list[Process]:
        """The login node shares this computer's process ids; slurmctld has a child for running scripts."""
        daemons = self.record()["daemons"]
        pids = ns.in_namespace("mnt", ns.namespace(self.holder, "mnt"))
        return [Process(pid, pid, tuple(ns.argv_of(pid))) for pid in pids
                if pid not in (self.holder, *daemons) and ns.parent(pid) not in daemons]

    @staticmethod
    def _is_sleep(process: Process, init: int | None) -> bool:
        """The node's shell sleeps when slurmd is gone."""
        return process.argv == ("sleep", "1") and ns.parent(process.pid) == init

    def bytes(self) -> dict[str, dict[str, int]]:
        """Return the bytes received ("rx") and sent ("tx") by each running node, with Ethernet headers."""
        command = ["ip", "-j", "-s", "link", "show", "type", "veth"]
        links = json.loads(ns.run(ns.enter(self.holder, command)))
        # Bytes that the bridge's end of the pair sends are bytes that the node receives.
        return {link["ifname"]: {"rx": link["stats64"]["tx"]["bytes"], "tx": link["stats64"]["rx"]["bytes"]}
                for link in sorted(links, key=lambda link: link["ifindex"])}

    def files(self, node: str, directory: str = "/dev/shm") -> list[str]:
        """Return the names in a directory of a node, or of the login node."""
        path = self.seen_by(node, directory)
        return sorted(os.listdir(path)) if path.is_dir() else []

    def seen_by(self, node: str, path: str) -> Path:
        """Return the path on this computer of a file that has `path` on a node or the login node."""
        pid = self.holder if node == LOGIN else self.init_pid(node)
        return Path(f"/proc/{pid or 0}/root{path}")
