"""Count of the processes that the kernel has killed because memory ran out."""

import contextlib
from pathlib import Path

__all__ = ["oom_counters", "oom_kills"]


def oom_counters(cgroups: str) -> list[Path]:
    """Return the files that count the kills in the cgroup of a process, given its ``/proc/self/cgroup``.

    Version 2 of cgroups has one hierarchy, version 1 one for memory (Linux, admin-guide/cgroup-v2.rst and
    cgroup-v1/memory.rst). The last counts for the whole computer (proc_vmstat(5)).

    Examples
    --------
    >>> from hpcml.engines.nodes.memory import oom_counters
    >>> [str(path) for path in oom_counters("0::/system.slice/job_7\\n")]
    ['/sys/fs/cgroup/system.slice/job_7/memory.events', '/proc/vmstat']
    """
    found = []
    for line in cgroups.splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            found.append(Path(f"/sys/fs/cgroup{path}/memory.events"))
        elif "memory" in controllers.split(","):
            found.append(Path(f"/sys/fs/cgroup/memory{path}/memory.oom_control"))
    return [*found, Path("/proc/vmstat")]


def oom_kills() -> int:
    """Return a count of processes that were killed because memory ran out; only its changes have a meaning.

    The counters overlap: that of the whole computer includes those of the cgroup.
    """
    kills = 0
    with contextlib.suppress(OSError, ValueError):
        for path in oom_counters(Path("/proc/self/cgroup").read_text()):
            with contextlib.suppress(OSError):
                fields = [line.split() for line in path.read_text().splitlines()]
                kills += sum(int(field[1]) for field in fields if field[0] == "oom_kill")
    return kills
