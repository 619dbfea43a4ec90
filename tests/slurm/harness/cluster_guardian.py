"""Guardian that ends the clusters of a killed test run: cluster_guardian.py PREFIX OWNER, in a process of its own.

The owner, a process of pytest, may be interrupted, terminated or killed during a test, and then none of its
fixtures runs. The guardian waits for its end, or for the end of its own standard input, and then ends all
clusters whose names begin with PREFIX.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys

from cluster_view import state_root
from slurm_cluster import SlurmCluster


def start(prefix: str) -> "subprocess.Popen[bytes]":
    """Start a guardian for this process, in a session of its own, which Ctrl-C does not reach."""
    argv = [sys.executable, __file__, prefix, str(os.getpid())]
    return subprocess.Popen(argv, stdin=subprocess.PIPE, start_new_session=True)


def stop(guardian: "subprocess.Popen[bytes]") -> None:
    """Let the guardian end the remaining clusters, and wait for its end."""
    guardian.communicate(timeout=120)


def main() -> None:
    prefix, owner = sys.argv[1], int(sys.argv[2])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(ProcessLookupError):
        select.select([os.pidfd_open(owner), sys.stdin], [], [])
    for state in state_root().glob(f"{prefix}*/"):
        SlurmCluster(state.name).down()


if __name__ == "__main__":
    main()
