"""Slurm of three nodes for the programs of the benchmarks, and the run of one program."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from measures import Run
from peers import HERE, PYTHON, ROOT

sys.path.insert(0, str(ROOT / "tests/slurm/harness"))
from cluster_conf import Shape
from cluster_needs import missing
from slurm_cluster import SlurmCluster, reap

PROGRAMS = HERE / "programs"
BATCH = (str(HERE / "batch"), str(HERE / "batch-job"))
OURS = ("hpcml", "hpcml_ipyparallel", "equal_split", "loky")  # run by this Python; the others by the peers'
NODES, CPUS, MEMORY = 3, 12, 16_000  # memory of each node, in MB
LEAST_MEMORY = 3e9  # bytes; with less left on this computer, a program must end
POLL = 0.2  # seconds between two looks at a program that runs
_VARIABLES = ("PATH", "HOME", "LANG", "USER", "TERM", "TZ")


class RunFailed(Exception):
    """A program gave no values; the message has the end of its output."""


class GaveUp(RunFailed):
    """A peer's program was ended, for it took too long or too much memory; the message is a word for the table."""


@contextmanager
def bench_cluster() -> Iterator[SlurmCluster]:
    """Cluster under a name of its own, for the length of a ``with`` block."""
    if missing(Shape().release):
        raise SystemExit(missing(Shape().release))
    reap()
    cluster = SlurmCluster(f"bench-{os.getpid()}")
    try:
        cluster.up(Shape(cpus=(CPUS,) * NODES, memory=MEMORY), owner=os.getpid())
        yield cluster
    finally:
        cluster.down()


def slurm_version(cluster: SlurmCluster) -> str:
    return cluster.call(["sinfo", "--version"]).stdout.split()[-1]


def execute(cluster: SlurmCluster, run: Run) -> dict[str, float]:
    """Return {measure: value} of a program, run by sbatch, by salloc, or without Slurm and an allocation."""
    python = sys.executable if run.pool in OURS else str(PYTHON)
    words = [python, str(PROGRAMS / f"{run.program}.py"), run.pool, str(run.slots), *run.measures]
    base = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
    base["PYTHONPATH"] = str(PROGRAMS)
    directory = cluster.state / "shared" / f"{run.program}-{run.pool}-{time.monotonic_ns()}"
    directory.mkdir()
    if run.allocation is None:
        return _values(words, base, directory, run)
    cluster.wait_idle()  # the steps of the run before have ended
    try:
        command, base = _command(run, words, base)
        return _values(cluster.login_command(command, directory), cluster.environment(base), directory, run)
    except BaseException:
        cluster.call(["scancel", "--state=PENDING"])
        cluster.call(["scancel", "--state=RUNNING"])
        raise


def _command(run: Run, words: list[str], base: dict[str, str]) -> tuple[list[str], dict[str, str]]:
    """Return command and environment that run a program in its allocation.

    A batch run takes the nodes' whole memory, of which dask gives each worker a share, and not more. As job
    scripts do, it says how many threads a worker has: not every peer binds its workers to their CPUs.
    """
    if run.login:
        return words, base
    if not run.batch:
        return ["salloc", "--quiet", *run.allocation, *words], base
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    batch, job = BATCH
    return [batch, "--mem=0", *run.allocation, job, *words], base | threads


def _values(command: list[str], environment: dict[str, str], directory: Path, run: Run) -> dict[str, float]:
    """Run a command in a directory and return the numbers that its last line holds."""
    process = subprocess.Popen(command, env=environment, cwd=directory, text=True, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        out, err = _wait(process, run, directory)
    finally:
        _end(process)
    if process.returncode != 0:
        raise RunFailed(f"exit code {process.returncode}\n{err[-2000:]}{_tail(directory)}")
    return {name: float(value) for name, value in json.loads(out.splitlines()[-1]).items()}


def _wait(process: "subprocess.Popen[str]", run: Run, directory: Path) -> tuple[str, str]:
    """Return the output of a program; end the program where it takes too long or too much memory, and raise."""
    end = time.monotonic() + run.timeout
    while True:
        try:
            return process.communicate(timeout=POLL)
        except subprocess.TimeoutExpired:
            late = time.monotonic() > end
        if not late and _free_memory() > LEAST_MEMORY:
            continue
        if run.pool == "hpcml":
            raise RunFailed(f"{'no end in time' if late else 'too little memory left'}{_tail(directory)}")
        raise GaveUp(f"none in {run.timeout:g} s" if late else "out of memory")


def _free_memory() -> int:
    """Return the free memory of this computer in bytes."""
    line = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemAvailable"))
    return int(line.split()[1]) * 1024


def _end(process: "subprocess.Popen[str]") -> None:
    """End a program that still runs: by SIGTERM, on which salloc gives its allocation back."""
    if process.poll() is None:
        process.terminate()
        try:
            process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate(timeout=10)


def _tail(directory: Path) -> str:
    logs = sorted(directory.glob("*.log"))
    return "".join(f"\n--- {log.name}\n{log.read_text(errors='replace')[-1500:]}" for log in logs)
