"""Broken jobs whose fault is Slurm's, on a real Slurm: submitted and graded from the login node."""

import re
import shutil
import sys
from pathlib import Path

import pytest

from hpcml.commands.tutorial.exercises import find, tutorials

CHECK_SECONDS = 150


def student(cluster, job, word):
    """Copy a broken job to the nodes, with the right word for its fault."""
    place = cluster.shared_dir / job.label
    shutil.copytree(tutorials() / job.folder, place, ignore=shutil.ignore_patterns("results", ".hpcml"))
    script = place / "script.py"
    script.write_text(script.read_text().replace('FAULT = ""', f'FAULT = "{word}"'))
    return place


def check(cluster, job, place, *words, before=()):
    """Return the names of the failed checks, and the output, of ``hpcml tutorial check``."""
    command = [*before, cluster.python, "-m", "hpcml", "tutorial", "check", job.label, place, *words]
    done = cluster.run(command, timeout=CHECK_SECONDS)
    return set(re.findall("^FAILED  (.+)$", done.stdout, re.MULTILINE)), done.stdout + done.stderr


def submit(cluster, place, *words):
    """Submit the job as a student does; return its number."""
    path = f"--export=ALL,PATH={Path(sys.executable).parent}:/usr/bin:/bin"
    return cluster.sbatch(place / "job.sbatch", path, cwd=place, args=words)


def logs_of(cluster, place, job):
    """Return what ``hpcml logs`` prints of a job."""
    own = {"XDG_CACHE_HOME": str(place / job)}  # another test has asked Slurm within the minute
    return cluster.run([cluster.python, "-m", "hpcml", "logs", job], own, cwd=place).stdout


@pytest.mark.release("24.11")
def test_a_layout_of_three_tasks_and_one_is_found_and_the_mended_job_passes(cluster):
    job = find("broken-04")
    place = student(cluster, job, "layout")
    found, output = check(cluster, job, place, "--sbatch=")
    assert found == {"shares", "sum of all rows"}, output
    (number,) = re.findall(r"Submitted batch job (\d+)", output)
    assert "node 1, task 0: share 2 of 4" in logs_of(cluster, place, number)
    shutil.copytree(place / "mended", place, dirs_exist_ok=True)
    found, output = check(cluster, job, place, before=["salloc", "-Q", "-N2", "-n4"])
    assert found == set(), output
    assert "node 1, task 0: share 3 of 4" in output


@pytest.mark.release("24.11")
def test_two_jobs_that_write_one_file_are_found(cluster):
    job = find("broken-08")
    place = student(cluster, job, "directory")
    numbers = [submit(cluster, place, "--seed", str(seed)) for seed in (1, 2)]
    assert [cluster.wait(number).state for number in numbers] == ["COMPLETED"] * 2
    for seed, number in enumerate(numbers, 1):
        assert f"seed {seed}: 20 rows are in tables/table.csv" in logs_of(cluster, place, str(number))
    assert cluster.wait(submit(cluster, place, "--collect")).state == "COMPLETED"
    found, output = check(cluster, job, place, "--no-run")
    expected = {"end of the job", "seeds of the tables", "rows of the tables", "means of the tables"}
    assert found == expected, output


@pytest.mark.release("24.11")
def test_a_time_limit_that_is_too_short_is_found(cluster):
    job = find("broken-09")
    place = student(cluster, job, "time")
    number = submit(cluster, place)
    ended = cluster.wait(number, timeout=CHECK_SECONDS)
    assert (ended.state, ended.exit_code) == ("FAILED", 75), ended.output
    assert "the job's time is nearly over" in logs_of(cluster, place, str(number))
    report = cluster.run([cluster.python, "-m", "hpcml", "report"], cwd=place).stdout
    assert re.search("[24] tasks done of 6", report)  # a node that starts late has time for fewer
    assert "out of time" in report
    assert check(cluster, job, place, "--no-run")[0] == {"end of the job", "results"}
