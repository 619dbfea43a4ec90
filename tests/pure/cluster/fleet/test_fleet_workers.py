"""Workers of several jobs: a frame goes to the least busy job, and a lost job costs no task."""

import time
from concurrent.futures import Future

import pytest

from hpcml.cluster.fleet import workers as module
from hpcml.cluster.fleet.staging import FleetStaging
from hpcml.cluster.fleet.workers import FleetWorkers, JobWorkers
from hpcml.errors import HpcmlError, WorkerDied


class JobEngine:
    """The workers of one job, as data: frames wait until a test resolves them."""

    def __init__(self, host, slots):
        self.hosts = (host,)
        self.slots = self.ready = slots
        self.sent = []
        self.interrupted = []

    def submit(self, frame, avoid=frozenset()):
        future = Future()
        self.sent.append((frame, future))
        return future

    def frames_running(self):
        return {f"{self.hosts[0]}:{number}": future for number, (_, future) in enumerate(self.sent)}

    def interrupt(self, future):
        self.interrupted.append(future)


@pytest.fixture
def fleet():
    return FleetWorkers(FleetStaging(["/tmp"]), lambda: 12)


def join(fleet, label, slots, limit=None):
    job = JobWorkers(label, JobEngine(f"n{label}", slots), limit)
    fleet.join(job)
    return job


def died(started=True):
    return WorkerDied("ended", "n1:0", started)


def test_the_frames_of_all_jobs_are_known_by_their_workers(fleet):
    join(fleet, "1", 1), join(fleet, "2", 1)
    first, second = fleet.submit(b"a"), fleet.submit(b"b")
    assert fleet.frames_running() == {"n1:0": first, "n2:0": second}


def test_frames_go_where_there_are_fewest_for_each_slot(fleet):
    small, large = join(fleet, "1", 1), join(fleet, "2", 3)
    for number in range(8):
        fleet.submit(b"%d" % number)
    assert (len(small.workers.sent), len(large.workers.sent)) == (2, 6)
    assert (fleet.slots, fleet.ready, fleet.hosts) == (4, 4, ("n1", "n2"))


def test_a_job_that_drains_gets_no_frame_and_returns_those_it_has(fleet):
    old, new = join(fleet, "1", 2), join(fleet, "2", 2)
    first = fleet.submit(b"0")
    fleet.drain(old)
    for number in range(4):
        fleet.submit(b"%d" % number)
    assert len(new.workers.sent) == 4
    assert fleet.slots == 2
    old.workers.sent[0][1].set_result(b"outcome")
    assert first.result(0) == b"outcome"
    assert old.frames == {}


def test_frames_of_a_lost_job_fail_and_blame_no_task(fleet):
    lost = join(fleet, "1", 2)
    future = fleet.submit(b"0")
    fleet.leave(lost, "job 1 is lost")
    assert (str(future.exception(0)), future.exception(0).started) == ("job 1 is lost", False)
    lost.workers.sent[0][1].set_result(b"too late")
    assert fleet.ready == 0
    assert fleet.slots == 12  # those of the jobs that are awaited


def test_the_deaths_of_all_workers_of_a_job_are_no_deaths_under_a_task(fleet, monkeypatch):
    """Slurm ends the workers of a job first, its steps after that."""
    monkeypatch.setattr(module, "DEATH_GRACE_SECONDS", 0.1)
    job = join(fleet, "1", 2)
    future = fleet.submit(b"0")
    job.workers.sent[0][1].set_exception(died())
    job.workers.slots = job.workers.ready = 0
    assert future.exception(10).started is False


def test_the_death_of_one_worker_is_one_under_its_task(fleet, monkeypatch):
    monkeypatch.setattr(module, "DEATH_GRACE_SECONDS", 0.1)
    job = join(fleet, "1", 2)
    future = fleet.submit(b"0")
    job.workers.sent[0][1].set_exception(died())
    assert future.exception(10).started is True
    assert job.frames == {}


def test_an_interrupted_frame_is_ended_in_its_job_and_is_not_waited_for(fleet):
    join(fleet, "1", 1)
    job = join(fleet, "2", 3)
    futures = [fleet.submit(b"0") for _ in range(4)]
    (future,) = [one for one in futures if one in job.frames][:1]
    fleet.interrupt(future)
    (inner,) = job.workers.interrupted
    inner.set_exception(died())
    assert future.exception(0).started is True


def test_a_task_that_takes_more_than_half_of_a_jobs_time_is_counted_dead(fleet):
    job = join(fleet, "1", 1, limit=60.0)
    long, short = fleet.submit(b"0"), fleet.submit(b"1")
    job.frames[long] = job.frames[long][0], time.monotonic() - 31
    fleet.leave(job, "job 1 has ended")
    assert [one.exception(0).started for one in (long, short)] == [True, False]


def test_without_a_job_a_frame_comes_back_at_once(fleet):
    assert fleet.submit(b"0").exception(0).started is False


def test_the_client_is_that_of_the_one_job(fleet):
    join(fleet, "1", 1).workers.client = "client"
    assert fleet.client == "client"
    join(fleet, "2", 1)
    with pytest.raises(HpcmlError, match=r"this Cluster has 2 jobs \(1, 2\), and a client of ipyparallel is that"):
        fleet.client  # noqa: B018


def test_news_of_a_job_are_passed_on_to_whoever_listens_now(fleet):
    job = join(fleet, "1", 1)
    seen = []
    fleet.on_change = lambda: seen.append("change")
    fleet.on_print = lambda *printed: seen.append(printed)
    job.workers.on_change()
    job.workers.on_print("n1:0", 0, b"x", True)
    assert seen == ["change", ("n1:0", 0, b"x", True)]
