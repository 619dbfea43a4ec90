"""Broken jobs whose fault is Slurm's, on a real Slurm: submitted and graded from the login node."""

import re
import shutil

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


def check(cluster, job, place):
    """Return the names of the failed checks, and the output, of ``hpcml tutorial check --sbatch``."""
    command = [cluster.python, "-m", "hpcml", "tutorial", "check", job.label, place, "--sbatch="]
    done = cluster.run(command, timeout=CHECK_SECONDS)
    return set(re.findall("^FAILED  (.+)$", done.stdout, re.MULTILINE)), done.stdout + done.stderr


def logs_of(cluster, place, output):
    """Return what ``hpcml logs`` prints of the jobs that a check has submitted."""
    jobs = re.findall(r"Submitted batch job (\d+)", output)
    return "".join(cluster.run([cluster.python, "-m", "hpcml", "logs", job], cwd=place).stdout for job in jobs)


@pytest.mark.release("24.11")
def test_a_layout_of_three_tasks_and_one_is_found_and_the_mended_job_passes(cluster):
    job = find("broken-04")
    place = student(cluster, job, "layout")
    found, output = check(cluster, job, place)
    assert found == {"shares", "sum of all rows"}, output
    assert "node 1, task 0: share 2 of 4" in logs_of(cluster, place, output)
    shutil.copytree(place / "mended", place, dirs_exist_ok=True)
    found, output = check(cluster, job, place)
    assert found == set(), output
    assert "node 1, task 0: share 3 of 4" in logs_of(cluster, place, output)


@pytest.mark.release("24.11")
def test_two_jobs_that_write_one_file_are_found(cluster):
    job = find("broken-08")
    place = student(cluster, job, "directory")
    found, output = check(cluster, job, place)
    assert found == {"seeds of the tables", "rows of the tables", "means of the tables"}, output
    logs = logs_of(cluster, place, output)
    assert all(f"seed {seed}: 20 rows are in tables/table.csv" in logs for seed in (1, 2))


@pytest.mark.release("24.11")
def test_a_time_limit_that_is_too_short_is_found(cluster):
    job = find("broken-09")
    place = student(cluster, job, "time")
    found, output = check(cluster, job, place)
    assert found == {"end of job.sbatch", "results"}, output
    assert "exit status 75" in output
    assert "the job's time is nearly over" in logs_of(cluster, place, output)
    report = cluster.run([cluster.python, "-m", "hpcml", "report"], cwd=place).stdout
    assert re.search("[24] tasks done of 6", report)  # a node that starts late has time for fewer
    assert "out of time" in report
