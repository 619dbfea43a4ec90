"""Reader of ``SLURM_*`` variables, which reports all their faults at once.

sbatch and salloc pass on the variables that they find. Typed inside a job, they give the new job those variables
of the old one that they do not set themselves. The reader finds these left-over variables.
"""

import re
from collections.abc import Mapping

from hpcml.errors import AllocationError
from hpcml.slurm.hostlist import compress, expand, expand_counts

__all__ = ["SlurmVariables"]

_MAX_HET_GROUPS = 128  # MAX_HET_JOB_COMPS in slurmctld.h


class SlurmVariables:
    """Variables of `env`; faults are noted in `problems`, and raise no error.

    Examples
    --------
    >>> variables = SlurmVariables({"SLURM_NTASKS": "four"})
    >>> variables.number("SLURM_NTASKS"), variables.problems
    (None, ['SLURM_NTASKS=four is not a whole number from 0'])
    """

    def __init__(self, env: Mapping[str, str]) -> None:
        self.env = env
        self.problems: list[str] = []

    def text(self, name: str, needed: bool = False) -> str:
        """Return the variable `name`; "" where it is not set, which is a problem if it is `needed`."""
        if needed and not self.env.get(name):
            self.problems.append(f"{name} is missing")
        return self.env.get(name, "")

    def number(self, name: str, least: int = 0, needed: bool = False) -> int | None:
        """Return the whole number in `name`; None where `name` is not set, or is no number from `least`."""
        text = self.text(name, needed)
        if re.fullmatch("[0-9]{1,18}", text) and int(text) >= least:
            return int(text)
        if text:
            self.problems.append(f"{name}={text} is not a whole number from {least}")
        return None

    def total(self, name: str, pattern: re.Pattern[str]) -> int:
        """Return the sum of the numbers that `pattern` finds in a list such as ``a100:2,v100:1``."""
        return sum(map(int, pattern.findall(self.text(name))))

    def hosts(self, name: str) -> tuple[str, ...]:
        """Return the nodes in the hostlist in `name`, which has to be set."""
        try:
            hosts = expand(self.text(name, needed=True))
        except AllocationError as error:
            self.problems.append(f"{name}: {error}")
            return ()
        if len(set(hosts)) < len(hosts):
            self.problems.append(f"{name}={self.env[name]} names a node twice")
        return hosts

    def counts(self, name: str, hosts: tuple[str, ...], needed: bool = False) -> tuple[int | None, ...]:
        """Return one number per host from the counts in `name`; None for each host without counts for all."""
        text = self.text(name, needed)
        try:
            counts = expand_counts(text) if text else ()
        except AllocationError as error:
            self.problems.append(f"{name}: {error}")
            counts = ()
        if counts and hosts and len(counts) != len(hosts):
            self.problems.append(f"{name}={text} is for {len(counts)} nodes, not for {compress(hosts)}")
        return counts if len(counts) == len(hosts) else (None,) * len(hosts)

    def agree(self, name: str, expected: int, source: str) -> None:
        """Note a problem if `name` holds a number other than `expected`, which follows from variable `source`."""
        if self.number(name) not in (None, expected):
            seen = f"{name}={self.env[name]}, but {source}={self.env.get(source)}"
            self.problems.append(f"{seen} gives {expected}")

    def step_is_left_over(self) -> bool:
        """Return whether ``SLURM_STEP_*`` describes a step of another job, in which sbatch or salloc was typed.

        Those two set variables of the job only, such as ``SLURM_TASKS_PER_NODE``. srun gives this variable the
        value of the step, and starts the step's tasks on the step's nodes.
        """
        tasks = self.text("SLURM_STEP_TASKS_PER_NODE")
        node = self.text("SLURMD_NODENAME")
        if not tasks or not node:
            return False
        return tasks != self.text("SLURM_TASKS_PER_NODE") or node not in self.hosts("SLURM_STEP_NODELIST")

    def suffixes(self) -> list[str]:
        """Return the suffixes of the job's variables: "" alone, or one suffix per component of the job."""
        size = min(self.number("SLURM_HET_SIZE") or 0, _MAX_HET_GROUPS)
        # `srun -n1 … : -n4 …` sets only the names from before Slurm 20.02 (seen in 22.05 and 24.11).
        leaders = {kind: self.text(f"SLURM_JOB_ID{kind}0") for kind in ("_HET_GROUP_", "_PACK_GROUP_")}
        for kind, leader in leaders.items():
            if size and leader and leader == self.text("SLURM_JOB_ID"):
                return [f"{kind}{group}" for group in range(size)]
        # Variables of another leader are left over too.
        if size and not any(leaders.values()):
            self.text("SLURM_JOB_ID_HET_GROUP_0", needed=True)
        return [""]
