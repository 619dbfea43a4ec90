"""The three-node Slurm on which the programs run, and running one of them."""

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

sys.path.insert(0, str(ROOT / "tests/slurm"))
from cluster_conf import Shape
from cluster_needs import missing
from slurm_cluster import SlurmCluster, reap

PROGRAMS = HERE / "programs"
OURS = ("hpcml", "loky")  # run by this Python; the others by the peers'
NODES, CPUS = 3, 12
_VARIABLES = ("PATH", "HOME", "LANG", "USER", "TERM", "TZ")


class RunFailed(Exception):
    """A program gave no values; the message holds the end of what it printed."""


@contextmanager
def bench_cluster() -> Iterator[SlurmCluster]:
    """Start the test cluster under a name of its own; it is ended whatever happens."""
    if missing(Shape().release):
        raise SystemExit(missing(Shape().release))
    reap()
    cluster = SlurmCluster(f"bench-{os.getpid()}")
    try:
        cluster.up(Shape(cpus=(CPUS,) * NODES), owner=os.getpid())
        yield cluster
    finally:
        cluster.down()


def slurm_version(cluster: SlurmCluster) -> str:
    return cluster.call(["sinfo", "--version"]).stdout.split()[-1]


def execute(cluster: SlurmCluster, run: Run) -> dict[str, float]:
    """Run a program by salloc, or without Slurm where it has no allocation; its values by measure."""
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
        command = cluster.login_command(["salloc", "--quiet", *run.allocation, *words], directory)
        return _values(command, cluster.environment(base), directory, run)
    except BaseException:
        cluster.call(["scancel", "--state=PENDING"])
        cluster.call(["scancel", "--state=RUNNING"])
        raise


def _values(command: list[str], environment: dict[str, str], directory: Path, run: Run) -> dict[str, float]:
    """Run a command in a directory and return the numbers that its last line holds."""
    process = subprocess.Popen(command, env=environment, cwd=directory, text=True, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        out, err = process.communicate(timeout=run.timeout)
    except subprocess.TimeoutExpired:
        raise RunFailed(f"no end after {run.timeout:g} s{_tail(directory)}") from None
    finally:
        _end(process)
    if process.returncode != 0:
        raise RunFailed(f"exit code {process.returncode}\n{err[-2000:]}{_tail(directory)}")
    return {name: float(value) for name, value in json.loads(out.splitlines()[-1]).items()}


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
