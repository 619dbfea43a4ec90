"""Jobs whose time is up, or that get a signal: finished tasks are kept, and the next session resumes the run."""

import json
import os
import re
import shlex
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from patience import patient, wait_until
from searches import SLOTS, Calls, Search, assert_equal

ROOT = Path(__file__).parents[2]


def submit(search, *options, flags="--requeue"):
    """Submit the search as a batch job, in which the driver is the job's script."""
    command = shlex.join(str(word) for word in search.command[1:])
    script = f"#!/bin/bash\nexec {search.cluster.python} -m hpcml run {flags} --quiet {command}\n"
    tasks = ("-N3", "--ntasks-per-node=4", "--requeue", "--open-mode=append")
    job = search.cluster.sbatch(script, *tasks, *options, cwd=search.cluster.shared_dir)
    search.job = job
    return job


def wait_ended(search, fits, timeout=60):
    output = lambda: search.cluster.output(search.job)[-3000:]  # noqa: E731
    wait_until(lambda: len(search.events("end")) >= fits, timeout, what=output)


def assert_resumed(search, name, expected, repeated):
    """Check that the job has ended well, in its second session or later, and the number of repeated fits."""
    job = search.cluster.wait(search.job, timeout=150)
    results = search.results(name)
    assert job.state == "COMPLETED", job.output[-3000:]
    assert_equal(results, expected)
    assert search.lost == 0
    assert search.repeated <= repeated
    return job.output


@pytest.mark.release("24.11")
def test_f6_a_job_that_ends_at_its_time_limit_is_resumed_after_a_requeue(cluster, expected_calls):
    """One minute for 180 fits of 4 s on 12 slots: the first session has no time for all of them."""
    search = Calls(cluster, seconds=4.0)
    submit(search, "--time=1", flags="--requeue")
    output = assert_resumed(search, "F6", expected_calls, repeated=0)
    assert "the job's time is nearly over" in output
    assert "goes back to the queue" in output


@pytest.mark.release("24.11")
def test_f9_the_sbatch_script_is_requeued_and_no_fit_is_cut(cluster):
    """As a user runs it: the repository's script, in a directory with an environment and the tutorials.

    The exercise has 300 fits and 8 clusterings.
    """
    for name, target in ((".venv", sys.prefix), ("tutorials", ROOT / "tutorials")):
        (cluster.shared_dir / name).symlink_to(target)
    script = ROOT / "sbatch/requeue.sbatch"
    job = cluster.sbatch(script, cwd=cluster.shared_dir)
    wait_until(lambda: "(10 %)" in cluster.output(job), what=lambda: cluster.output(job))
    cluster.run(["scancel", "--batch", "--signal=USR1", str(job)], check=True)
    ended = cluster.wait(job, timeout=150)
    assert ended.state == "COMPLETED", ended.output
    assert "SIGUSR1: no further task starts; those that run have" in ended.output
    assert f"job {job} goes back to the queue, to be resumed" in ended.output
    found = json.loads((cluster.shared_dir / "results/01.json").read_text())
    assert len(found["mean_scores"]) == 100
    first = int(re.search(r"hpcml: (\d+) tasks on 12 slots", ended.output)[1])
    found = re.search(r"hpcml: (\d+) tasks, and (\d+) from the journal", ended.output)
    second, recalled = int(found[1]), int(found[2])
    assert (first, first + second) == (recalled, 308)
    assert len(script.read_text().splitlines()) <= 10


@pytest.mark.release("24.11")
def test_f8_a_preempted_job_is_resumed(cluster, expected_calls):
    search = Calls(cluster, seconds=0.5)
    submit(search, flags="--resume")
    wait_ended(search, 36)
    high = cluster.sbatch("#!/bin/sh\nsleep 2", "-N3", "--exclusive", "--partition=high")
    cluster.wait(high)
    assert_resumed(search, "F8 preemption", expected_calls, repeated=2 * SLOTS)


@pytest.mark.release("22.05")
def test_f8_scancel_keeps_the_finished_fits(cluster, expected_calls):
    search = Calls(cluster, seconds=0.5)
    job = submit(search, flags="--resume")
    wait_ended(search, 36)
    cluster.run(["scancel", str(job)], check=True)
    assert cluster.wait(job).state == "CANCELLED"
    again = submit(search, flags="--resume")
    assert again != job
    assert_resumed(search, "F8 scancel", expected_calls, repeated=2 * SLOTS)


@pytest.mark.release("22.05")
def test_f7_a_killed_driver_is_resumed(cluster, expected):
    search = Search(cluster, resume=True)
    search.start()
    search.wait_ended(60)
    (driver,) = [p for p in cluster.processes("login") if "counted.py" in " ".join(p.argv[:2])]
    killed = time.monotonic()
    os.kill(driver.pid, signal.SIGKILL)
    search.process.communicate(timeout=patient(30))
    while any("hpcml.engines" in " ".join(p.argv) for node in cluster.nodes for p in cluster.processes(node)):
        assert time.monotonic() < killed + patient(15)
        time.sleep(0.1)
    assert_equal(search.start().finish("F7"), expected)
    assert search.lost == 0
    assert search.repeated <= 2 * SLOTS  # a worker has its next fit already
    assert max(Counter(event[0] for event in search.events("begin")).values()) <= 2


@pytest.mark.release("22.05")
def test_a_second_driver_of_a_run_is_refused(cluster, expected_calls):
    search = Calls(cluster, resume=True, seconds=patient(0.4)).start()  # time for the second to be refused
    search.wait_ended(12)
    second = cluster.run(search.command)
    assert second.returncode == 1
    assert "is in use by process" in second.stderr
    assert "on login" in second.stderr
    assert search.process.poll() is None
    assert_equal(search.finish("F13"), expected_calls)
    assert (search.lost, search.repeated) == (0, 0)
