"""Configuration files of a test cluster, as pure functions of its shape."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

RELEASES = ("22.05", "24.11")
LOGIN = "login"
LOGIN_ADDRESS = "10.32.0.1"
PREFIX = 16
# Memory a job gets for each CPU it asks for, in MB: small, so that several jobs fit on a node.
DEF_MEM_PER_CPU = 200
# A requeued job starts again only when its old credential has expired; Slurm's default is 120 s.
REQUEUE_DELAY = 15


class ClusterError(Exception):
    """A command to the cluster failed; the message has the cause and the remedy."""


@dataclass(frozen=True)
class Shape:
    """Shape of a cluster.

    cpus: CPUs of each node, one number per node (so also the number of nodes).
    memory: RealMemory of each node, in MB.
    gpus: fake GPUs per node; /dev/null stands for each.
    gpu_types: types of these GPUs, each of as many; without, they have none, and are said to be NVIDIA's.
    interactive_step: salloc's shell runs on the first node instead of the login node.
    loopback_names: a node's own name resolves to 127.0.1.1 there, as Debian's installer sets it up.
    cloud: nodes that are off until a job needs them; ResumeProgram then makes the file resumed.NODE in the
        cluster's directory, and the test boots the node.
    conf: slurm.conf parameters that replace or extend those written here.
    binds: directories of this computer to show at the same path in a release that has its own root.
    """

    cpus: tuple[int, ...] = (4, 4, 4)
    release: str = "22.05"
    memory: int = 4000
    gpus: int = 0
    gpu_types: tuple[str, ...] = ()
    interactive_step: bool = False
    loopback_names: bool = False
    cloud: tuple[str, ...] = ()
    conf: Mapping[str, str] = field(default_factory=dict)
    binds: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.release not in RELEASES:
            raise ClusterError(f"unknown release {self.release!r}; known are {', '.join(RELEASES)}")
        if not 1 <= len(self.cpus) <= 200 or min(self.cpus) < 1:
            raise ClusterError(f"a cluster has 1 to 200 nodes of at least one CPU each, not {self.cpus}")

    @property
    def nodes(self) -> tuple[str, ...]:
        return tuple(f"n{i}" for i in range(1, len(self.cpus) + 1))

    def address(self, node: str) -> str:
        """Return the IPv4 address of a node (or of the login node) on the cluster's bridge."""
        return LOGIN_ADDRESS if node == LOGIN else f"10.32.1.{self.nodes.index(node) + 1}"


def slurm_conf(shape: Shape, state: Path) -> str:
    """Return slurm.conf; every file that Slurm writes is below `state`."""
    parameters = _parameters(shape, state) | dict(shape.conf)
    lines = [f"{key}={value}" for key, value in parameters.items()]
    if shape.gpus:
        lines.append("GresTypes=gpu")
    lines += [_node_line(shape, node, cpus) for node, cpus in zip(shape.nodes, shape.cpus, strict=True)]
    partition = "Nodes=ALL MaxTime=UNLIMITED State=UP PreemptMode=REQUEUE"
    lines += [f"PartitionName=main Default=YES PriorityTier=1 {partition}",
              f"PartitionName=high PriorityTier=10 {partition}"]
    return "\n".join(lines) + "\n"


def _parameters(shape: Shape, state: Path) -> dict[str, str]:
    log = state / "log"
    parameters = {
        "ClusterName": "hpcml", "SlurmctldHost": f"{LOGIN}({LOGIN_ADDRESS})",
        "SlurmUser": "root", "SlurmdUser": "root",
        "AuthType": "auth/munge", "CredType": "cred/munge",
        "AuthInfo": f"socket={state}/munge/socket,cred_expire={REQUEUE_DELAY}",
        "StateSaveLocation": f"{state}/ctld", "SlurmdSpoolDir": f"{state}/spool/%n",
        "SlurmctldPidFile": f"{state}/slurmctld.pid", "SlurmdPidFile": f"{state}/slurmd.%n.pid",
        "SlurmctldLogFile": f"{log}/slurmctld.log", "SlurmdLogFile": f"{log}/slurmd.%n.log",
        # linuxproc and task/none: the cgroups of this computer are left alone.
        "ProctrackType": "proctrack/linuxproc", "TaskPlugin": "task/none",
        "JobAcctGatherType": "jobacct_gather/none", "AccountingStorageType": "accounting_storage/none",
        "SelectType": "select/cons_tres", "SelectTypeParameters": "CR_Core_Memory",
        # Nodes may claim more CPUs and memory than this computer has.
        "SlurmdParameters": "config_overrides",
        "SchedulerType": "sched/backfill", "SchedulerParameters": "sched_interval=1,bf_interval=1",
        "PreemptType": "preempt/partition_prio", "PreemptMode": "REQUEUE",
        "ReturnToService": "2", "KillWait": "10", "JobRequeue": "1", "MpiDefault": "none",
        "MailProg": "/bin/true",
        # Everything shares a few real cores here, so an answer may take a while.
        "MessageTimeout": "30", "DefMemPerCPU": str(DEF_MEM_PER_CPU),
    }
    if shape.cloud:
        programs = {f"{name}Program": f"{state}/{name.lower()}" for name in ("Resume", "Suspend")}
        parameters |= programs | {"SuspendTime": "3600", "ResumeTimeout": "300", "SuspendTimeout": "5"}
    if shape.interactive_step:
        parameters["LaunchParameters"] = "use_interactive_step"
    return parameters


def _node_line(shape: Shape, node: str, cpus: int) -> str:
    gpus = [f"gpu:{name}:{len(numbers)}" for name, numbers in _typed_gpus(shape)] or [f"gpu:{shape.gpus}"]
    gres = f" Gres={','.join(gpus)}" if shape.gpus else ""
    return (f"NodeName={node} NodeAddr={shape.address(node)} CPUs={cpus} Boards=1 SocketsPerBoard=1 "
            f"CoresPerSocket={cpus} ThreadsPerCore=1 RealMemory={shape.memory}{gres} "
            f"State={'CLOUD' if node in shape.cloud else 'UNKNOWN'}")


def gres_conf(shape: Shape, state: Path) -> str:
    """Return gres.conf: each fake GPU is another name of /dev/null."""
    if not shape.gpus:
        return ""
    typed = [f"Name=gpu Type={name} File={_files(state, numbers)}" for name, numbers in _typed_gpus(shape)]
    lines = typed or [f"Name=gpu File={_files(state, range(shape.gpus))} Flags=nvidia_gpu_env"]
    return "\n".join(["AutoDetect=off", *lines, ""])


def _typed_gpus(shape: Shape) -> list[tuple[str, range]]:
    """Return the types of a node's GPUs, and the numbers of those of each type."""
    share = shape.gpus // max(len(shape.gpu_types), 1)
    return [(name, range(at * share, (at + 1) * share)) for at, name in enumerate(shape.gpu_types)]


def _files(state: Path, numbers: range) -> str:
    return f"{state}/dev/gpu[{numbers[0]}-{numbers[-1]}]" if len(numbers) > 1 else f"{state}/dev/gpu{numbers[0]}"


def cgroup_conf(shape: Shape) -> str:
    """Return cgroup.conf: 23.02 and later can, and here must, run without the cgroup plugin."""
    return "" if shape.release == "22.05" else "CgroupPlugin=disabled\n"


def hosts(shape: Shape, node: str) -> str:
    """Return /etc/hosts of `node` (or of the login node)."""
    lines = ["127.0.0.1 localhost"]
    for name in (LOGIN, *shape.nodes):
        own = name == node and shape.loopback_names
        lines.append(f"{'127.0.1.1' if own else shape.address(name)} {name}")
    return "\n".join(lines) + "\n"
