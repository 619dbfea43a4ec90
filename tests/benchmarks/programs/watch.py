"""Watch of the nodes (see nodes.py) and of the driver during a search."""

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

STEP = ("srun", "--overlap", "--mem=0", "--cpu-bind=none", "--ntasks-per-node=1", "--mpi=none", "--unbuffered")
NODES = str(Path(__file__).with_name("nodes.py"))


class Nodes:
    """Programs on the nodes; srun sends each line to all of them, and returns their answers."""

    def __init__(self, process: "subprocess.Popen[str]", count: int) -> None:
        self._process = process
        self._count = count

    def _order(self, word: str) -> list[str]:
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        lines = [self._process.stdout.readline() for _ in range(self._count)]
        if not all(lines):
            raise RuntimeError(f"a node does not answer {word!r}: see nodes.log")
        return lines

    @contextmanager
    def watching(self, sample: bool) -> Iterator[list[dict[str, Any]]]:
        """List of the figures of every node, filled when the block ends; `sample` costs CPU time."""
        found: list[dict[str, Any]] = []
        self._order("sample" if sample else "count")
        yield found
        found += [json.loads(line) for line in self._order("end")]


@contextmanager
def open_nodes() -> Iterator[Nodes]:
    """Start one program on each node of this job."""
    count = int(os.environ["SLURM_JOB_NUM_NODES"])
    program = [sys.executable, NODES, socket.gethostname(), str(os.getpid())]
    command = [*STEP, f"--nodes={count}", f"--ntasks={count}", *program]
    with open("nodes.log", "ab") as log:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        yield Nodes(process, count)
    finally:
        process.stdin.close()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(20)


def _status(field: str) -> int:
    """Return a size in /proc/self/status, in bytes."""
    text = Path("/proc/self/status").read_text()
    return int(re.search(rf"^{field}:\s+(\d+) kB", text, re.MULTILINE).group(1)) * 1024


def resident() -> int:
    """Return the resident set size of this process, in bytes."""
    return _status("VmRSS")


def forget_peak() -> None:
    """Reset `peak`; proc(5), /proc/PID/clear_refs."""
    Path("/proc/self/clear_refs").write_text("5")


def peak() -> int:
    """Return the largest `resident` since `forget_peak`: the kernel's figure, not a sample."""
    return _status("VmHWM")
