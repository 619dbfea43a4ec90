"""The queue that all processes share: how often Slurm is asked, and jobs that Slurm forgets."""

import json
import os
import subprocess
import sys

import pytest

from hpcml.slurm.jobs.queue import JobQueue, Listing
from hpcml.slurm.jobs.site import read_site
from hpcml.slurm.jobs.states import FORGOTTEN, Job

FIELDS = ["1:00", "0:0", "N/A", "1", "n1", "main", "/d", "/d/slurm-%j.out", "search"]


@pytest.fixture
def slurm(tmp_path):
    """Environment with a squeue that prints the file `answer`, and appends to the file `asked`."""
    squeue = tmp_path / "bin" / "squeue"
    squeue.parent.mkdir()
    squeue.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/asked\ncat {tmp_path}/answer\n')
    squeue.chmod(0o755)
    sacct = squeue.with_name("sacct")
    sacct.write_text("#!/bin/sh\necho 'Slurm accounting storage is disabled' >&2\nexit 1\n")
    sacct.chmod(0o755)
    answer(tmp_path, {7: "RUNNING"})
    return {"PATH": f"{squeue.parent}:{os.environ['PATH']}", "HOME": str(tmp_path), "SLURM_CONF": "/etc/a"}


def answer(place, states):
    rows = [[str(number), str(number), state, "None", *FIELDS] for number, state in states.items()]
    (place / "answer").write_text("\n".join("\x1f".join(row) + "\x1f" for row in rows))


def times_asked(place):
    return len((place / "asked").read_text().splitlines())


def test_processes_share_one_question(slurm, tmp_path):
    program = "from hpcml.commands.main import main; main(['jobs', '7'])"
    argv = [sys.executable, "-c", program]
    processes = [subprocess.Popen(argv, env=slurm, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert all("RUNNING" in process.communicate(timeout=60)[0] for process in processes)
    assert times_asked(tmp_path) == 1
    (cache,) = (tmp_path / ".cache" / "hpcml").glob("queue-*.json")
    assert cache.stat().st_mode & 0o777 == 0o600
    assert cache.parent.stat().st_mode & 0o777 == 0o700


def test_another_cluster_has_another_cache(slurm, tmp_path):
    for conf in ("/etc/a", "/etc/b", "/etc/a"):
        JobQueue({**slurm, "SLURM_CONF": conf}, 60).read()
    assert times_asked(tmp_path) == 2


def test_submitted_jobs_are_known_before_slurm_is_asked_again(slurm, tmp_path):
    queue = JobQueue(slurm, 60)
    queue.read()
    queue.note([Job(8, "8", "PENDING", name="new")])
    assert [job.state for job in queue.read().find("8")] == ["PENDING"]
    assert times_asked(tmp_path) == 1


def test_an_array_and_a_heterogeneous_job_stand_for_their_parts():
    jobs = [
        Job(5, "5_[2-9]", "PENDING"),
        Job(6, "5_1", "RUNNING"),
        Job(7, "7+0", "RUNNING"),
        Job(8, "7+1", "RUNNING"),
    ]
    listing = Listing({job.job_id: job for job in jobs})
    assert [[job.job_id for job in listing.find(label)] for label in ("5", "5_1", "7", "7+1", "9")] == [
        [5, 6],
        [6],
        [7, 8],
        [8],
        [],
    ]


def test_a_job_that_slurm_no_longer_shows_is_forgotten(slurm, tmp_path):
    queue = JobQueue(slurm, 0)
    queue.read()
    answer(tmp_path, {})
    assert queue.read().jobs[7].state == FORGOTTEN


def test_an_end_is_remembered(slurm, tmp_path):
    queue = JobQueue(slurm, 0)
    answer(tmp_path, {7: "TIMEOUT"})
    queue.read()
    answer(tmp_path, {})
    assert queue.read().jobs[7].state == "TIMEOUT"


def test_accounting_knows_the_end(slurm, tmp_path):
    sacct = tmp_path / "bin" / "sacct"
    sacct.write_text("#!/bin/sh\necho '7|CANCELLED by 1000|0:15'\n")
    sacct.chmod(0o755)
    queue = JobQueue(slurm, 0)
    queue.read()
    answer(tmp_path, {})
    job = queue.read().jobs[7]
    assert (job.state, job.exit_status) == ("CANCELLED", 143)


def test_a_slurm_that_does_not_answer_keeps_the_last_listing(slurm, tmp_path):
    queue = JobQueue(slurm, 0)
    queue.read()
    (tmp_path / "answer").unlink()
    listing = queue.read()
    assert listing.jobs[7].state == "RUNNING"
    assert "squeue" in listing.problem


@pytest.mark.parametrize("content", ["", "{", json.dumps({"jobs": []}), json.dumps({"jobs": {"7": {"x": 1}}})])
def test_a_damaged_cache_is_replaced(slurm, tmp_path, content):
    JobQueue(slurm, 60).read()
    (cache,) = (tmp_path / ".cache" / "hpcml").glob("queue-*.json")
    cache.write_text(content)
    assert JobQueue(slurm, 60).read().jobs[7].state == "RUNNING"


def test_a_home_that_cannot_be_written_needs_no_cache(slurm, tmp_path):
    (tmp_path / "file").touch()
    queue = JobQueue({**slurm, "XDG_CACHE_HOME": str(tmp_path / "file")}, 60)
    assert queue.read().jobs[7].state == queue.read().jobs[7].state == "RUNNING"
    assert times_asked(tmp_path) == 1


def test_the_site_says_how_often_slurm_is_asked(slurm, tmp_path):
    assert read_site(slurm).query_seconds == 60
    (tmp_path / ".config").mkdir()
    (tmp_path / ".config" / "hpcml.toml").write_text("query_seconds = 300\n")
    JobQueue.of(slurm)
    assert read_site(slurm).query_seconds == 300
