"""Clusters that ask Slurm for their nodes, from the login node and outside of any allocation."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from cluster_conf import LOGIN
from patience import patient, promised, wait_until
from searches import FITS, Search, assert_equal

PROVISIONED = Path(__file__).parent / "programs" / "provisioned.py"
WORKERS = Path(__file__).parent / "programs" / "workers.py"


def user(cluster):
    """Return the environment of a user whose site may ask Slurm each second."""
    home = cluster.shared_dir / "home"
    home.mkdir(exist_ok=True)
    (home / "hpcml.toml").write_text("query_seconds = 1\n")
    return {"XDG_CONFIG_HOME": str(home), "XDG_CACHE_HOME": str(home)}


def queued(cluster):
    """Return the states of the jobs that have not ended, by number."""
    return dict(line.split() for line in cluster.call(["squeue", "-h", "--format=%i %T"]).stdout.splitlines())


class Driver:
    """A program on the login node with a Cluster of its own."""

    def __init__(self, cluster, silence=45.0, **options):
        self.cluster = cluster
        self.errors = cluster.shared_dir / f"errors-{time.monotonic_ns()}"
        with self.errors.open("w") as errors:
            self.process = cluster.popen(
                [cluster.python, PROVISIONED, json.dumps(options), str(silence)],
                env=user(cluster),
                stdin=subprocess.PIPE,
                stderr=errors,
            )

    def answer(self):
        line = self.process.stdout.readline()
        assert line, self.errors.read_text()[-3000:]
        return json.loads(line)

    def send(self, text):
        self.process.stdin.write(f"{text}\n")
        self.process.stdin.flush()

    def order(self, text):
        self.send(text)
        return self.answer()

    def wait_for(self, text, true, what=""):
        """Wait until the value of an order is `true`."""
        wait_until(lambda: true(self.order(text)), 60, lambda: what or self.errors.read_text()[-3000:])

    def end(self):
        self.process.stdin.close()
        assert self.process.wait(patient(30)) == 0, self.errors.read_text()[-3000:]


@pytest.mark.release("24.11")
def test_a_search_from_the_login_node_loses_no_fit_with_a_job(cluster, expected):
    """Two jobs of one node each, of which one is cancelled while fits run there."""
    search = Search(cluster, nodes=2, nodes_per_job=1, ntasks_per_node=4, time="5")
    search.process = cluster.popen(search.command, env=user(cluster))
    search.wait_ended(FITS // 3)
    jobs = queued(cluster)
    assert list(jobs.values()) == ["RUNNING", "RUNNING"]
    cluster.run(["scancel", min(jobs)], check=True)
    assert_equal(search.finish("two jobs"), expected)
    assert search.lost == 0
    assert search.repeated <= 2 * 4  # a worker may have its next fit already
    (journal,) = cluster.shared_dir.glob(".hpcml/*/journal")
    assert b'"death"' not in journal.read_bytes()
    assert queued(cluster) == {}


@pytest.mark.release("24.11")
def test_an_allocation_that_has_the_nodes_is_used(cluster):
    words = ["salloc", "--quiet", "-N2", "--ntasks-per-node=4", cluster.python, WORKERS]
    done = cluster.run([*words, "nodes=1", "ntasks_per_node=2", "cpus_per_task=2"], check=True)
    seen = json.loads(done.stdout.splitlines()[-1])
    assert (seen["slots"], len(seen["hosts"])) == (2, 1)
    assert {worker["threads"] for worker in seen["workers"]} == {2}
    assert "is submitted" not in done.stderr


def heartbeat(cluster, driver):
    """Return the process that shows the sign of life of a driver."""
    words = [process for process in cluster.processes(LOGIN) if "heartbeat.py" in " ".join(process.argv)]
    return next(process.pid for process in words if process.argv[-1] == str(driver.process.pid))


@pytest.mark.release("22.05")
def test_jobs_end_with_a_driver_that_is_killed_and_with_its_login_node(cluster):
    killed, lost = (Driver(cluster, silence, nodes=1, ntasks_per_node=2, time="5") for silence in (45.0, 9.0))
    assert (killed.answer(), lost.answer()) == (2, 2)
    numbers = [driver.order("cluster.jobs[0].job") for driver in (killed, lost)]
    os.kill(killed.process.pid, signal.SIGKILL)
    wait_until(lambda: numbers[0] not in queued(cluster), promised(20) / patient(1))
    assert numbers[1] in queued(cluster)
    # Nothing on the login node is left that could cancel the job.
    other = heartbeat(cluster, lost)
    os.kill(lost.process.pid, signal.SIGSTOP)
    os.kill(other, signal.SIGKILL)
    os.kill(lost.process.pid, signal.SIGKILL)
    wait_until(lambda: not queued(cluster), promised(20) / patient(1))
    assert "no sign of life" in next(cluster.shared_dir.glob(f".hpcml/*/job-{numbers[1]}.log")).read_text()


@pytest.mark.release("24.11")
def test_jobs_that_are_preempted_or_have_no_work_come_back(cluster):
    driver = Driver(cluster, nodes=1, ntasks_per_node=4, time="5", idle_timeout=patient(3))
    assert driver.answer() == 4
    (first,) = queued(cluster)
    driver.send("work(cluster, 12, 'go')")
    assert cluster.wait(cluster.sbatch("#!/bin/sh\nsleep 1", "-N3", "--exclusive", "--partition=high")).state
    (cluster.shared_dir / "go").touch()
    ((second, tasks),) = driver.answer()[0].items()
    assert tasks == 12
    assert second != first
    assert f"job {first} is dropped: a job with a higher priority took its place" in driver.errors.read_text()
    wait_until(lambda: not queued(cluster))
    assert "no tasks for" in driver.errors.read_text()
    assert sum(driver.order("work(cluster, 4)")[0].values()) == 4
    driver.end()


@pytest.mark.release("22.05")
def test_a_job_is_replaced_before_its_time_limit(cluster):
    """One minute of time, of which a job has 30 s when the next is submitted; two slots have a minute of tasks."""
    driver = Driver(cluster, nodes=1, ntasks_per_node=2, time="1")
    assert driver.answer() == 2
    ran, _ = driver.order("work(cluster, 40, 3)")
    assert sum(ran.values()) == 40
    assert len(ran) > 1
    errors = driver.errors.read_text()
    assert "another takes its place" in errors
    assert "is dropped" not in errors
    driver.end()


@pytest.mark.release("22.05")
def test_a_node_that_is_switched_on_for_its_job_joins_late(make_cluster):
    cluster = make_cluster(cpus=(2, 2), cloud=("n2",))
    driver = Driver(cluster, nodes=2, nodes_per_job=1, ntasks_per_node=2, time="5")
    assert driver.answer() == 2
    ran, is_whole = driver.order("work(cluster, 4, data=bytes(3_000_000))")
    assert (len(ran), is_whole) == (1, True)
    wait_until((cluster.state / "resumed.n2").exists)
    cluster.boot_node("n2")
    driver.wait_for("cluster.slots", lambda slots: slots == 4)
    ran, is_whole = driver.order("work(cluster, 16, data=bytes(3_000_000))")
    assert (sorted(ran), is_whole) == (sorted(queued(cluster)), True)
    driver.order("cluster.scale(nodes=3)")  # there is no third one
    (waiting,) = (job for job, state in queued(cluster).items() if state == "PENDING")
    driver.wait_for("[job.reason for job in cluster.jobs][-1]", lambda reason: reason.startswith("PENDING, "))
    cluster.run(["scancel", waiting], check=True)
    driver.wait_for("len(cluster.jobs)", lambda jobs: jobs == 2)
    assert f"job {waiting} is dropped: it was cancelled" in driver.errors.read_text()
    driver.order("cluster.scale(nodes=1)")
    wait_until(lambda: len(queued(cluster)) == 1)
    assert sum(driver.order("work(cluster, 4)")[0].values()) == 4
    driver.end()
    assert queued(cluster) == {}
