"""Exercises on a real Slurm: each job file runs the solution on two nodes, unchanged, and the results pass."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from patience import patient

from hpcml.commands.tutorial.exercises import exercises, tutorials

WITHOUT_MPI = ("grid_search", "data_once", "genetic_algorithm", "one_map")


@pytest.mark.release("24.11")
@pytest.mark.parametrize("name", WITHOUT_MPI)
def test_the_job_of_an_exercise_runs_its_solution_on_two_nodes(cluster, name):
    (exercise,) = (one for one in exercises() if one.name == name)
    place = cluster.shared_dir / exercise.folder
    shutil.copytree(tutorials() / exercise.folder / "solution", place, ignore=shutil.ignore_patterns("results"))
    path = f"--export=ALL,PATH={Path(sys.executable).parent}:/usr/bin:/bin"
    job = cluster.sbatch(tutorials() / exercise.folder / "job.sbatch", path, cwd=place, args=["--quick"])
    ended = cluster.wait(job, timeout=patient(120))
    assert ended.state == "COMPLETED", ended.output
    assert "8 slots on " in ended.output
    words = ["-m", "hpcml", "tutorial", "check", str(exercise.number), place, "--no-run"]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.release("24.11")
@pytest.mark.parametrize(
    ("name", "field", "expected"),
    [("islands", "ranks", 4), ("data_parallel", "ranks", [1, 2, 4])],
    ids=["islands", "data_parallel"],
)
def test_a_solution_runs_unchanged_in_a_job(cluster, name, field, expected):
    exercise = next(one for one in exercises() if one.name == name)
    shutil.copy(tutorials() / exercise.folder / "solution" / "start.py", cluster.shared_dir / "start.py")
    words = ["salloc", "-Q", "-N2", "--ntasks-per-node=2", cluster.python, "start.py", "--quick"]
    cluster.run(words, timeout=120, check=True)
    found = json.loads((cluster.shared_dir / exercise.results).read_text())
    assert found[field] == expected
    words = [cluster.python, "-m", "hpcml", "tutorial", "check", str(exercise.number), "--no-run"]
    done = cluster.run(words)
    assert done.returncode == 0, done.stdout + done.stderr
