"""Processes and namespaces of a cluster: found, entered, ended.

Every process of a cluster has MARKER=<state directory> in its environment, so that remaining ones can be
found without a record of them. A node is besides a PID namespace: when its first process dies, the kernel
ends the rest.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from cluster_conf import ClusterError

MARKER = "HPCML_TEST_CLUSTER"
_SCRUBBED = ("SLURM_", "SLURMD_", "SBATCH_", "SALLOC_", "SRUN_", "SQUEUE_", "SINFO_", "PMI_", "PMIX_")


def environment(base: Mapping[str, str], state: Path) -> dict[str, str]:
    """Return `base` without variables of another Slurm, with those of the cluster in `state`."""
    kept = {key: value for key, value in base.items() if not key.startswith(_SCRUBBED)}
    return kept | {"SLURM_CONF": f"{state}/slurm.conf", MARKER: str(state)}


def enter(pid: int, argv: Sequence[str], cwd: str = "/") -> list[str]:
    """Return the command that runs `argv` on the login node, whose namespaces `pid` holds.

    nsenter replaces itself by the command (no PID namespace is entered), so signals and exit code need no
    relay.
    """
    return ["nsenter", "-t", str(pid), "-m", "-n", "-u", "-r", f"--wdns={cwd}", "--", *argv]


def run(argv: Sequence[str], env: Mapping[str, str] | None = None, timeout: float = 120) -> str:
    """Return the standard output of a command that must succeed."""
    try:
        done = subprocess.run(argv, env=env, timeout=timeout, capture_output=True, text=True, check=False,
                              stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        raise ClusterError(f"no end after {timeout:.0f} s: {' '.join(argv)}") from None
    if done.returncode:
        output = (done.stdout + done.stderr).strip()
        raise ClusterError(f"exit code {done.returncode}: {' '.join(argv)}\n{output}")
    return done.stdout


def wait_for(condition: Callable[[], object], timeout: float, what: str, pause: float = 0.05) -> None:
    """Wait until `condition()` is true; after `timeout` seconds raise ClusterError with `what`."""
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            raise ClusterError(f"{what}: not within {timeout:.0f} s")
        time.sleep(pause)


def namespace(pid: int, kind: str) -> str | None:
    """Return the identity of a namespace of a process, None where the process is gone."""
    try:
        return os.readlink(f"/proc/{pid}/ns/{kind}")
    except OSError:
        return None


def all_pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat after the command name: state, parent, …; none without the process."""
    try:
        # The command name, in parentheses, may hold blanks and parentheses itself.
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def state_of(pid: int) -> str | None:
    """Return the state letter of a process (R, S, T, Z …), None where it is gone."""
    return next(iter(_stat(pid)), None)


def parent(pid: int) -> int | None:
    fields = _stat(pid)
    return int(fields[1]) if fields else None


def start_time(pid: int) -> int | None:
    """Return the start of a process in clock ticks since boot, which differs for a later one of the same id."""
    fields = _stat(pid)
    return int(fields[19]) if fields else None


def children(pid: int) -> list[int]:
    return [other for other in all_pids() if parent(other) == pid]


def inner_pid(pid: int) -> int:
    """Return the id of a process in its own PID namespace, 0 where it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(errors="replace")
    except OSError:
        return 0
    return next((int(line.split()[-1]) for line in status.splitlines() if line.startswith("NSpid:")), 0)


def argv_of(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
    except OSError:
        return []


def in_namespace(kind: str, identity: str | None) -> list[int]:
    """Return the live processes in a namespace."""
    if identity is None:
        return []
    return [pid for pid in all_pids()
            if namespace(pid, kind) == identity and state_of(pid) not in (None, "Z")]


def marked(state: Path) -> list[int]:
    """Return the live processes with the marker of the cluster in `state`; a zombie's environment is empty."""
    return [pid for pid in all_pids() if is_marked(pid, state)]


def is_marked(pid: int, state: Path) -> bool:
    return f"{MARKER}={state}".encode() in _environ(pid)


def _environ(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def ancestry() -> set[int]:
    """Return the calling process and its ancestors."""
    pids: set[int] = set()
    pid: int | None = os.getpid()
    while pid and pid not in pids:
        pids.add(pid)
        pid = parent(pid)
    return pids


def send(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def end(find: Callable[[], Sequence[int]], what: str, timeout: float = 60) -> None:
    """Kill the processes that `find()` returns until it returns none: killed ones may have started others."""
    def gone() -> bool:
        pids = find()
        send(pids, signal.SIGKILL)
        return not pids

    wait_for(gone, timeout, f"the end of {what}")
