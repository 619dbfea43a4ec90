"""Start of the programs: which starts are accepted, and the error of one that fails."""

import threading
from types import SimpleNamespace

import pytest
from driver_side import Recorded, job_plan

from hpcml.engines.ipyparallel.startup import Startup
from hpcml.errors import EngineError


class Quick(Recorded):
    """A program that is gone at once when it is stopped."""

    def close(self):
        pass

    def wait(self, deadline):
        return True

    def stop(self, grace):
        self.status = self.status or 0


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Begin a start whose workers come as `ready` says, with news that the test puts in."""
    monkeypatch.setattr("hpcml.engines.ipyparallel.fleet.Program", Quick)
    monkeypatch.setattr("hpcml.engines.ipyparallel.startup.import_library", lambda _: None)
    started = []

    def begin(ready=None, timeout=0.5, **options):
        startup = Startup(job_plan(tmp_path, timeout, **options))
        started.append(startup)
        if ready is not None:
            workers = SimpleNamespace(ready=ready, hosts=("n1",), probe=lambda _: None, ask_hub=lambda: None)
            workers.close = workers.end_silent = lambda: None
            workers.delayed = SimpleNamespace(release_complete=lambda: None)
            workers.slots = ready
            startup._news.workers = workers
            startup._news.data.staging = lambda _: "staging"
        return startup

    yield begin
    for startup in started:
        startup.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == "hpcml-news"]


def test_all_workers_are_a_start(start):
    startup = start(ready=6)
    assert startup.run().staging == "staging"
    assert "hpcml-news" in [thread.name for thread in threading.enumerate()]


def test_fewer_workers_are_a_start_where_the_plan_allows_it(start, caplog):
    assert start(ready=4, min_slots=3).run().ready == 4
    assert "4 of 6 workers came within" in caplog.text
    assert "Continuing with 4, as min_slots=3 allows." in caplog.text


def test_too_few_workers_are_an_error_that_says_what_to_do(start, tmp_path):
    with pytest.raises(EngineError) as caught:
        start(ready=4).run()
    text = str(caught.value)
    assert text.startswith("4 of 6 workers came within 0.5 s.\n")
    assert "n3 has no worker, and it sent no message" in text
    assert f"The logs are in {tmp_path}." in text
    assert text.endswith(
        "To give slow nodes more time: Cluster(timeout=2); to continue with fewer workers: Cluster(min_slots=4)."
    )


def test_a_start_that_is_not_wanted_any_more_ends_at_once(start):
    startup = start(timeout=60.0)
    startup._plan.unwanted.set()
    with pytest.raises(EngineError, match="0 of 6 workers came within 0.0 s"):
        startup.run()


def test_a_start_ends_when_the_controller_does(start):
    startup = start(timeout=60.0)
    startup._fleet.start()
    startup._fleet.start = lambda: None
    startup._inbox.put((startup._fleet.controller, None))
    with pytest.raises(EngineError, match="The controller ended with status None; its log ends with"):
        startup.run()
