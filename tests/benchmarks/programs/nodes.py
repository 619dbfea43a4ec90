"""Bytes that a node receives, and memory of the job there. One of these programs runs on each node.

    python nodes.py DRIVER_HOST DRIVER_PID

It reads "count" or "sample", answers with a line, reads "end", and prints one line of JSON:

host        of this node
received    bytes that came in over the network in between, with Ethernet headers
memory      after "sample": by how many bytes the job's memory here was at its largest above that before

Memory is what the node could not use otherwise, each page counted once:

- Of each process of the job its proportional set size without shared memory, Pss - Pss_Shmem in smaps_rollup:
  a page that several of them map is counted with its share for each. The driver's own is left out, for it
  has the data anyway, and so is this process.
- All that lies in /dev/shm, as the file system itself counts it: also what no process has mapped, or has
  mapped and not touched, and what has no name any more. The mapped pages of such files are what Pss_Shmem
  holds, which is why it is taken off above; with it they would count twice.

Not counted: page tables, the kernel's buffers, the page cache of disks, and /tmp, which is a disk on most
clusters (and here a file system in memory, in which nothing of this stays).
"""

import json
import os
import re
import select
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

SHARED = "/dev/shm"
SHORTEST_PAUSE = 0.05  # seconds between two samples
PAUSES = 3  # and this many times as long as a sample took, for the job to have the CPUs


def received() -> int:
    """Return the bytes received over all network devices but the loopback; proc(5), /proc/net/dev."""
    lines = [line.split(":") for line in Path("/proc/self/net/dev").read_text().splitlines()[2:]]
    return sum(int(fields.split()[0]) for name, fields in lines if name.strip() != "lo")


def _private(process: Path) -> int:
    """Return the proportional set size of a process without shared memory, in bytes."""
    sizes = dict(re.findall(r"^(Pss|Pss_Shmem):\s+(\d+) kB", (process / "smaps_rollup").read_text(), re.MULTILINE))
    return (int(sizes["Pss"]) - int(sizes["Pss_Shmem"])) * 1024


def memory(job: bytes, left_out: set[int]) -> int:
    """Return the bytes of a job's processes on this node, and of the files in its shared memory."""
    shared = os.statvfs(SHARED)
    total = (shared.f_blocks - shared.f_bfree) * shared.f_frsize
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError, KeyError):  # the process has ended meanwhile
            if int(process.name) not in left_out and job in (process / "environ").read_bytes().split(b"\0"):
                total += _private(process)
    return total


def _largest(job: bytes, left_out: set[int]) -> int:
    """Return the largest of the samples until there is something to read."""
    largest, pause = 0, 0.0
    while not select.select([sys.stdin], [], [], pause)[0]:
        began = time.monotonic()
        largest = max(largest, memory(job, left_out))
        pause = max(SHORTEST_PAUSE, PAUSES * (time.monotonic() - began))
    return largest


def main(driver_host: str, driver: int) -> None:
    host = socket.gethostname()
    job = f"SLURM_JOB_ID={os.environ['SLURM_JOB_ID']}".encode()
    left_out = {os.getpid()} | ({driver} if host == driver_host else set())
    while order := sys.stdin.readline().strip():
        sampling = order == "sample"
        before = memory(job, left_out) if sampling else 0
        came = received()
        print("begun", flush=True)
        largest = _largest(job, left_out) if sampling else 0
        sys.stdin.readline()
        found = {"host": host, "received": received() - came}
        print(json.dumps(found | ({"memory": largest - before} if sampling else {})), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
