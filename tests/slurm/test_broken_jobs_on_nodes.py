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


def check(cluster, job, place, *words):
    """Return the names of the failed checks, and the output, of ``hpcml tutorial check --sbatch``."""
    command = [cluster.python, "-m", "hpcml", "tutorial", "check", job.label, place, "--sbatch=", *words]
    done = cluster.run(command, timeout=CHECK_SECONDS)
    return set(re.findall("^FAILED  (.+)$", done.stdout, re.MULTILINE)), done.stdout + done.stderr


def mend(job, place):
    """Copy the mended files over those of the student."""
    shutil.copytree(place / "mended", place, dirs_exist_ok=True)


@pytest.mark.release("24.11")
@pytest.mark.parametrize(
    ("label", "word", "failed"),
    [
        ("broken-04", "layout", {"shares", "sum of all rows"}),
        ("broken-08", "directory", {"seeds of the tables", "rows of the tables", "means of the tables"}),
    ],
)
def test_a_fault_of_slurm_is_found_in_jobs_and_the_mended_ones_pass(cluster, label, word, failed):
    job = find(label)
    place = student(cluster, job, word)
    found, output = check(cluster, job, place)
    assert found == failed, output
    logs = "".join(path.read_text() for path in place.glob("slurm-*.out"))
    sign = {"layout": "node 1, task 0: share 2 of 4", "directory": "seed 2: 20 rows are in tables/table.csv"}[word]
    assert sign in logs
    mend(job, place)
    assert check(cluster, job, place)[0] == set(), output


@pytest.mark.release("24.11")
def test_a_time_limit_that_is_too_short_is_found(cluster):
    job = find("broken-09")
    place = student(cluster, job, "time")
    found, output = check(cluster, job, place, "--full")
    assert found == {"end of job.sbatch", "results"}, output
    assert "exit status 75" in output
    (log,) = place.glob("slurm-*.out")
    assert "the job's time is nearly over" in log.read_text()
    report = cluster.run([cluster.python, "-m", "hpcml", "report"], cwd=place).stdout
    assert "2 tasks done of 4" in report
    assert "out of time" in report
