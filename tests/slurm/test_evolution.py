"""Evolution on a real Slurm: the user's sbatch file, a time limit, and a driver that is killed."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from patience import patient

import hpcml

ROOT = Path(hpcml.__file__).parent.parent


def in_the_directory(cluster):
    """Make the files of a user's directory."""
    for name, target in ((".venv", sys.prefix), ("tutorials", ROOT / "tutorials")):
        if not (cluster.shared_dir / name).is_symlink():
            (cluster.shared_dir / name).symlink_to(target)


def lowest(output):
    return [line for line in output.splitlines() if line.startswith("lowest ")]


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """Return the result of one process, with DEAP's own loop."""
    program = Path(__file__).parent / "programs/plain_cma.py"
    return lowest(subprocess.check_output([sys.executable, program, "3", "25"], text=True, timeout=patient(60)))


@pytest.mark.release("24.11")
def test_the_sbatch_file_is_requeued_and_ends_as_one_process_does(cluster, expected):
    in_the_directory(cluster)
    script = ROOT / "sbatch/deap.sbatch"
    assert len(script.read_text().splitlines()) <= 10
    arguments = ["--dimensions", "3", "--generations", "25", "--ms", "100"]
    job = cluster.sbatch(script, cwd=cluster.shared_dir, args=arguments)
    end = time.monotonic() + patient(60)
    while "generation   10" not in (output := cluster.output(job)):
        assert time.monotonic() < end, output
        time.sleep(0.1)
    cluster.run(["scancel", "--batch", "--signal=USR1", str(job)], check=True)
    ended = cluster.wait(job, timeout=150)
    assert ended.state == "COMPLETED", ended.output
    assert f"job {job} goes back to the queue" in ended.output
    assert "resuming from generation" in ended.output
    assert "12 slots on" in ended.output
    assert lowest(ended.output) == expected
    again = int(re.search(r"evaluations +(\d+) in this session", ended.output)[1])
    assert 0 < again < 25 * 60
    assert (cluster.shared_dir / "evolution.png").stat().st_size > 1000


@pytest.mark.release("22.05")
def test_short_tasks_over_mpi_end_as_one_process_does(cluster, expected):
    in_the_directory(cluster)
    arguments = ["--dimensions", "3", "--generations", "25", "--ms", "0"]
    job = cluster.sbatch(ROOT / "sbatch/short_tasks_mpi.sbatch", cwd=cluster.shared_dir, args=arguments)
    ended = cluster.wait(job, timeout=100)
    assert ended.state == "COMPLETED", ended.output
    assert "hpcml: engine mpi, 12 slots on n1, n2, n3" in ended.output
    assert lowest(ended.output) == expected
