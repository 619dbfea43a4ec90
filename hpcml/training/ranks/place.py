"""Place of this process among the ranks: its rank, its node, and the CPUs that are its own."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from hpcml.errors import AllocationError
from hpcml.slurm.allocation import Allocation, detect

__all__ = ["Place", "place_among", "place_in_step", "rank_threads"]

_PEERS = 3  # nodes whose names are tried
_WITHOUT_SRUN = """this process is alone, and job {job} has {slots} tasks: in a batch script, and in the shell of
salloc, a program is started once, and not once for each task.
Start it as a step:  srun {command}
For a job of one process, ask for one task:  --ntasks=1"""


@dataclass(frozen=True)
class Place:
    """Place of a rank.

    Examples
    --------
    >>> place = Place(rank=3, size=4, local_rank=1, local_size=2, hosts=("n1", "n2"), host="n2")
    >>> place.variables()["GROUP_RANK"]
    '1'
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    hosts: tuple[str, ...] = ("localhost",)
    """The nodes of all ranks, each once."""
    host: str = "localhost"
    threads: int = 1
    key: str = ""
    """Name of the step on its file system; "" outside of a step."""

    @property
    def is_on_one_node(self) -> bool:
        """Return whether all ranks are on one node."""
        return len(self.hosts) == 1

    def peers(self, env: Mapping[str, str]) -> list[str]:
        """Return hosts that are reached on the way to the other ranks."""
        others = [host for host in self.hosts if host != self.host][:_PEERS]
        # Names of nodes need not be names of hosts; the place of srun is a way to other nodes too.
        return [*others, env.get("SLURM_LAUNCH_NODE_IPADDR", "")]

    def variables(self) -> dict[str, str]:
        """Return the variables of the place, named as torchrun names them."""
        return {
            "RANK": str(self.rank),
            "WORLD_SIZE": str(self.size),
            "LOCAL_RANK": str(self.local_rank),
            "LOCAL_WORLD_SIZE": str(self.local_size),
            "GROUP_RANK": str(self.hosts.index(self.host)),
        }


def place_in_step(env: Mapping[str, str], mask: Collection[int], command: str = "python train.py") -> Place:
    """Return the place that srun gave to this process; a world of one where there is no job.

    Parameters
    ----------
    mask
        The CPUs that this process may use.
    command
        The command of this process, for the message.

    Raises
    ------
    AllocationError
        The job has several tasks, and this process is in no step; or variables contradict each other.

    Examples
    --------
    >>> step = {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0", "SLURM_PROCID": "2", "SLURM_LOCALID": "0"}
    >>> step |= {"SLURM_STEP_NODELIST": "n[1-2]", "SLURM_STEP_TASKS_PER_NODE": "2,1", "SLURMD_NODENAME": "n2"}
    >>> step |= {"SLURM_JOB_NODELIST": "n[1-2]", "SLURM_TASKS_PER_NODE": "2,1"}
    >>> place_in_step(step, {0, 1}).variables()["LOCAL_WORLD_SIZE"]
    '1'
    """
    allocation = detect(env)
    if allocation is None:
        return Place(threads=len(mask))
    if allocation.step_id is None:
        if allocation.slots > 1:
            job = {"job": allocation.job_id, "slots": allocation.slots}
            raise AllocationError(_WITHOUT_SRUN.format(**job, command=command))
        return Place(threads=rank_threads(mask, 1, allocation.nodes[0].cpus))
    return _in_step(allocation, env, mask)


def _in_step(allocation: Allocation, env: Mapping[str, str], mask: Collection[int]) -> Place:
    node = next((node for node in allocation.nodes if node.name == allocation.launch_node), None)
    local = env.get("SLURM_LOCALID", "")
    if allocation.task_rank is None or node is None or not local.isdecimal() or int(local) >= node.slots:
        raise AllocationError(
            f"the place in step {allocation.job_id}.{allocation.step_id} is not known: "
            f"SLURM_PROCID={env.get('SLURM_PROCID')}, SLURM_LOCALID={env.get('SLURM_LOCALID')}, "
            f"SLURMD_NODENAME={env.get('SLURMD_NODENAME')} on {', '.join(allocation.hosts)}. "
            "Let srun start this program itself: srun python train.py"
        )
    words = (env.get("SLURM_CLUSTER_NAME"), allocation.job_id, allocation.step_id, allocation.restart_count)
    return Place(
        rank=allocation.task_rank,
        size=allocation.task_count,
        local_rank=int(local),
        local_size=node.slots,
        hosts=allocation.hosts,
        host=node.name,
        threads=rank_threads(mask, node.slots, node.cpus),
        key=".".join(str(word) for word in words if word is not None),
    )


def place_among(rank: int, seen: Sequence[tuple[str, Collection[int]]]) -> Place:
    """Return the place of a rank, given the host and the CPUs of each.

    Examples
    --------
    >>> from hpcml.training.ranks.place import place_among
    >>> place = place_among(1, [("n1", {0, 1}), ("n1", {0, 1}), ("n2", {0})])
    >>> place.local_rank, place.local_size, place.threads
    (1, 2, 1)
    """
    hosts = [host for host, _ in seen]
    host, mask = seen[rank]
    return Place(
        rank=rank,
        size=len(seen),
        local_rank=hosts[:rank].count(host),
        local_size=hosts.count(host),
        hosts=tuple(dict.fromkeys(hosts)),
        host=host,
        threads=max(len(mask) // list(seen).count((host, mask)), 1),
    )


def rank_threads(mask: Collection[int], ranks: int, held: int | None) -> int:
    """Return the number of CPUs of one of the `ranks` on a node.

    Parameters
    ----------
    mask
        The CPUs that this rank may use: its own ones where Slurm has bound it to them, else those of all ranks.
    held
        The CPUs that the job holds on the node; None where Slurm does not say.

    Examples
    --------
    >>> from hpcml.training.ranks.place import rank_threads
    >>> rank_threads({0, 1}, 4, held=8), rank_threads(range(8), 4, held=8), rank_threads(range(64), 2, held=4)
    (2, 2, 2)
    """
    held = held or len(mask)
    # Masks of all ranks that have room in what the job holds are masks of their own.
    return len(mask) if len(mask) * ranks <= held else max(min(len(mask), held) // ranks, 1)
