"""Real Slurm with several nodes on one computer, without a change of that computer's own set-up.

The login node, which also runs munged and slurmctld, is a mount, network and UTS namespace held by one
sleeping process; its network holds a bridge. A node is a set of namespaces more, tied to the bridge by a veth
pair. No address, device, mount, /etc/hosts entry or socket shows outside, so any number of clusters can run
side by side.
"""

import os
import shutil
import signal
import stat
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import cluster_conf as conf
import cluster_mounts
import cluster_ns as ns
from cluster_conf import LOGIN, ClusterError, Shape
from cluster_view import ClusterView, state_root

HERE = Path(__file__).resolve().parent
EVENT = 60  # seconds within which an event must be seen, on a computer of any speed
READY_TIMEOUT = 180
_TMPFS = "mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs"


class SlurmCluster(ClusterView):
    """Cluster of one name: starts it, harms its nodes, ends it."""

    def __init__(self, name: str = "hpcml") -> None:
        super().__init__(name)
        # Processes that this one has started, and must wait for when they have ended.
        self._children: list[subprocess.Popen[bytes]] = []

    def up(self, shape: Shape, owner: int | None = None) -> None:
        """Start a cluster, and return when all nodes are idle. An earlier one of this name is ended first.

        owner: process without which this cluster is of no use; see `reap`.
        """
        self.down()
        try:
            self._write_files(shape)
            self.update(shape=asdict(shape), nodes={}, owner=owner and [owner, ns.start_time(owner)])
            self._start_login(shape)
            for node in shape.nodes:
                if node not in shape.cloud:
                    self.boot_node(node)
            self.wait_idle()
        except BaseException as error:
            logs = self._log_tails()
            self.down()
            if isinstance(error, ClusterError):
                raise ClusterError(f"{error}\n{logs}".rstrip()) from None
            raise

    def down(self) -> None:
        """End everything that belongs to the cluster, in any state, also where there is none."""
        ns.end(self._everything, f"cluster {self.name}")
        self._collect()
        shutil.rmtree(self.state, ignore_errors=True)
        if self.state.exists():
            raise ClusterError(f"cannot remove {self.state}")

    def _everything(self) -> list[int]:
        """Return the processes with the cluster's marker, and those on its login node that have dropped it."""
        login = ns.namespace(self.record()["holder"], "mnt") if self.is_up() else None
        inside = ns.in_namespace("mnt", login)
        return sorted({*ns.marked(self.state), *inside} - ns.ancestry())

    # -- the login node --------------------------------------------------------------------------------------
    def _write_files(self, shape: Shape) -> None:
        for name, mode in (("", 0o755), ("log", 0o755), ("ctld", 0o700), ("spool", 0o755), ("munge", 0o755),
                           ("key", 0o700), ("dev", 0o755), ("layer", 0o755), ("shared", 0o1777)):
            directory = self.state / name
            directory.mkdir(parents=True, exist_ok=True)
            directory.chmod(mode)
        texts = {"slurm.conf": conf.slurm_conf(shape, self.state), "cgroup.conf": conf.cgroup_conf(shape),
                 "gres.conf": conf.gres_conf(shape, self.state)}
        if shape.cloud:
            each = 'for node in $(scontrol show hostnames "$1")'
            resume = f'{each}; do touch "{self.state}/resumed.$node"; done'
            for name, command in (("resume", resume), ("suspend", "true")):
                program = self.state / name
                program.write_text(f"#!/bin/sh\n{command}\n")
                program.chmod(0o755)
        texts |= {f"hosts.{node}": conf.hosts(shape, node) for node in (LOGIN, *shape.nodes)}
        for name, text in texts.items():
            (self.state / name).write_text(text)
            (self.state / name).chmod(0o644)
        for number in range(shape.gpus):
            # slurmd needs a device of a name of its own.
            os.mknod(self.state / f"dev/gpu{number}", 0o666 | stat.S_IFCHR, os.stat("/dev/null").st_rdev)
        with open(os.open(self.state / "key/munge.key", os.O_CREAT | os.O_WRONLY, 0o600), "wb") as key:
            key.write(os.urandom(128))

    def _start_login(self, shape: Shape) -> None:
        root, commands = cluster_mounts.commands(shape, self.state)
        with _pipe() as (read_end, write_end):
            argv = ["unshare", "-m", "-n", "-u", "sh", str(HERE / "login-boot")]
            holder = self._start(argv, "login", read_end)
            self.update(holder=holder)
            ns.wait_for(lambda: ns.argv_of(holder)[:1] == ["sh"], EVENT, "the login node's namespaces", 0.01)
            for command in commands:
                self._on_login(*command)
            os.write(write_end, f"{root}\n".encode())
            ns.wait_for(lambda: ns.argv_of(holder)[:1] == ["sleep"], EVENT, f"the login node in {root}", 0.01)
        for command in (f"hostname {LOGIN}", f"mount --bind {self.state}/hosts.{LOGIN} /etc/hosts",
                        f"{_TMPFS} /dev/shm", "ip link set lo up", "ip link add br0 type bridge",
                        f"ip address add {conf.LOGIN_ADDRESS}/{conf.PREFIX} dev br0", "ip link set br0 up"):
            self._on_login(*command.split())
        self._start_daemons()

    def _start_daemons(self) -> None:
        munge = self.state / "munge"
        options = {"key-file": self.state / "key/munge.key", "socket": munge / "socket",
                   "pid-file": munge / "pid", "log-file": munge / "log", "seed-file": munge / "seed"}
        argv = ["munged", "--foreground", "--force", *(f"--{key}={value}" for key, value in options.items())]
        munged = self._start(ns.enter(self.holder, argv), "munged")
        ns.wait_for((munge / "socket").exists, EVENT, "munged's socket")
        slurmctld = self._start(ns.enter(self.holder, ["slurmctld", "-D", "-i"]), "slurmctld")
        self.update(daemons=[munged, slurmctld])
        ns.wait_for(lambda: self.call(["scontrol", "ping"]).returncode == 0, EVENT, "slurmctld's answer", 0.1)

    # -- nodes -----------------------------------------------------------------------------------------------
    def boot_node(self, node: str) -> None:
        """Start a node that does not run."""
        if self.init_pid(node):
            raise ClusterError(f"node {node} runs already")
        argv = ["unshare", "-m", "-u", "-i", "-n", "-p", "--kill-child", "--mount-proc",
                "sh", str(HERE / "node-boot"), str(self.state), node,
                *(["cloud"] if node in self.shape.cloud else [])]
        with _pipe() as (read_end, write_end):
            pid = self._start(ns.enter(self.holder, argv), f"node.{node}", read_end)
            self.update(nodes=self.record()["nodes"] | {node: pid})
            known = [ns.namespace(self.holder, "net"), ns.namespace(os.getpid(), "net"), None]
            ns.wait_for(lambda: ns.namespace(pid, "net") not in known, EVENT, f"namespaces of node {node}", 0.01)
            self._on_login(*f"ip link add {node} type veth peer name eth0 netns {pid}".split())
            self._on_login(*f"ip link set {node} master br0 up".split())
            os.write(write_end, f"{self.shape.address(node)}/{conf.PREFIX}\n".encode())

    def kill_node(self, node: str) -> None:
        """Kill a node: all of its processes die at once, as in a power cut."""
        self.running_node(node)
        ns.end(lambda: [pid for pid in [self.unshare_pid(node)] if pid], f"node {node}")
        self._collect()
        ns.wait_for(lambda: node not in self.bytes(), EVENT, f"the end of the network of node {node}")

    def freeze_node(self, node: str) -> None:
        """Stop every process of a node; its kernel still acknowledges packets."""
        self.running_node(node)

        def frozen() -> bool:
            pids = [process.pid for process in self.all_processes(node)]
            awake = [pid for pid in pids if ns.state_of(pid) not in ("T", "Z", None)]
            ns.send(awake, signal.SIGSTOP)
            return not awake

        ns.wait_for(frozen, EVENT, f"the standstill of node {node}", 0.01)

    def thaw_node(self, node: str) -> None:
        self.running_node(node)
        ns.send([process.pid for process in self.all_processes(node)], signal.SIGCONT)

    def cut_node(self, node: str) -> None:
        """Cut a node's network; its processes run on."""
        self.running_node(node)
        self._on_login("ip", "link", "set", node, "down")

    def restore_node(self, node: str) -> None:
        self.running_node(node)
        self._on_login("ip", "link", "set", node, "up")

    def mend(self) -> None:
        """Undo all harm: every node runs, is connected and has its slurmd."""
        for node in self.nodes:
            argvs = [process.argv[:1] for process in self.all_processes(node)]
            if argvs and ("slurmd",) not in argvs:
                self.kill_node(node)
            if ("slurmd",) in argvs:
                self.thaw_node(node)
                self.restore_node(node)
            else:
                self.boot_node(node)

    def wait_idle(self, timeout: float = READY_TIMEOUT) -> None:
        """Wait until Slurm's state of every node is idle."""
        off = dict.fromkeys(self.shape.cloud, "idle")  # sinfo does not show cloud nodes that are off, or as idle~

        def is_idle() -> bool:
            states = off | self.node_states()
            return all(states.get(node, "").rstrip("~") == "idle" for node in self.nodes)

        ns.wait_for(is_idle, timeout, "all nodes idle", 0.2)

    # -- help ------------------------------------------------------------------------------------------------
    def _start(self, argv: Sequence[str], log: str, stdin: int = subprocess.DEVNULL) -> int:
        """Start a process that outlives this one; `down` ends it."""
        with open(self.state / "log" / f"{log}.out", "ab") as out:
            process = subprocess.Popen(argv, stdin=stdin, stdout=out, stderr=out, cwd="/",
                                       env=self._daemon_environment(), start_new_session=True)
        self._children.append(process)
        return process.pid

    def _collect(self) -> None:
        self._children = [process for process in self._children if process.poll() is None]

    def _daemon_environment(self) -> dict[str, str]:
        return self.environment({"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                                 "HOME": "/root", "LANG": "C.UTF-8"})

    def _on_login(self, *argv: str) -> None:
        ns.run(ns.enter(self.holder, argv), env=self._daemon_environment())

    def _log_tails(self) -> str:
        tails = []
        for log in sorted(self.state.glob("log/*")):
            lines = log.read_text(errors="replace").splitlines()[-8:]
            tails += [f"--- {log.name}", *lines] if lines else []
        return "\n".join(tails)


@contextmanager
def _pipe() -> Iterator[tuple[int, int]]:
    """Pipe of which both ends are closed at the end."""
    ends = os.pipe()
    try:
        yield ends
    finally:
        os.close(ends[0])
        os.close(ends[1])


def reap() -> list[str]:
    """End clusters whose owner, the process that they were started for, is gone; return their names."""
    ended = []
    for directory in sorted(state_root().glob("*/")):
        cluster = SlurmCluster(directory.name)
        owner = cluster.record().get("owner")
        if owner and ns.start_time(owner[0]) != owner[1]:
            cluster.down()
            ended.append(cluster.name)
    return ended
