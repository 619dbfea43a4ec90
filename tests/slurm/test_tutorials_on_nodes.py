"""Exercises on a real Slurm: each job file runs the solution on two nodes, unchanged, and the results pass."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from patience import patient, wait_until

from hpcml.commands.tutorial.exercises import exercises, tutorials

WITHOUT_MPI = ("grid_search", "data_once", "genetic_algorithm", "one_map")
PATH = f"--export=ALL,PATH={Path(sys.executable).parent}:/usr/bin:/bin"


@pytest.mark.release("24.11")
@pytest.mark.parametrize("name", WITHOUT_MPI)
def test_the_job_of_an_exercise_runs_its_solution_on_two_nodes(cluster, name):
    (exercise,) = (one for one in exercises() if one.name == name)
    place = copied(cluster, exercise)
    job = cluster.sbatch(tutorials() / exercise.folder / "job.sbatch", PATH, cwd=place, args=["--quick"])
    ended = cluster.wait(job, timeout=patient(120))
    assert ended.state == "COMPLETED", ended.output
    assert "8 slots on " in ended.output
    assert_passed(exercise, place)


@pytest.mark.release("24.11")
def test_seeds_and_an_evolution_go_on_in_a_job_that_slurm_cuts_twice(cluster):
    """Slurm ends all processes of the job, as for a preemption or a lost node, and starts it again."""
    (exercise,) = (one for one in exercises() if one.name == "seeds_and_clock")
    place = copied(cluster, exercise)
    script = tutorials() / exercise.folder / "job.sbatch"
    job = cluster.sbatch(script, PATH, cwd=place, args=["--quick", "--seconds=0.1"])
    for generation in (1, 4):
        wait_until(lambda g=generation: made(place) >= g, 120, what=lambda: cluster.output(job))
        cluster.run(["scontrol", "requeue", str(job)], check=True)
    ended = cluster.wait(job, timeout=patient(120))
    assert ended.state == "COMPLETED", ended.output
    assert ended.output.count("resuming from generation") == 2
    assert ended.output.count("no result of seeds [4]") == 1
    assert (place / "results" / "06.png").stat().st_size > 10_000
    assert_passed(exercise, place)


def made(place):
    """Return the number of the last generation that the exercise has noted in a directory."""
    notes = place / "results" / "notes"
    lines = notes.read_text().splitlines() if notes.exists() else []
    return json.loads(lines[-1])[2] if lines else -1


def copied(cluster, exercise):
    """Copy the solution of an exercise into a directory of its own that all nodes share."""
    place = cluster.shared_dir / exercise.folder
    return shutil.copytree(
        tutorials() / exercise.folder / "solution", place, ignore=shutil.ignore_patterns("results")
    )


def assert_passed(exercise, place):
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
