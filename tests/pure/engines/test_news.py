"""News of a run: each message reaches the part of the driver that it concerns, each end of a program is noted."""

import queue
import time
from types import SimpleNamespace

import pytest
from driver_side import Recorded, job_plan

from hpcml.engines.ipyparallel.news import NewsHandler


class Workers:
    """Workers that record the news."""

    def __init__(self):
        self.calls = []
        self.on_print = lambda *_: None
        self.delayed = SimpleNamespace(take=lambda message, _: self.calls.append(("printed", message["printed"])))

    def __getattr__(self, name):
        return lambda *arguments: self.calls.append((name, *arguments))


@pytest.fixture
def news(tmp_path, monkeypatch):
    monkeypatch.setattr("hpcml.engines.ipyparallel.fleet.Program", Recorded)
    news = NewsHandler(job_plan(tmp_path), queue.SimpleQueue(), time.monotonic() + 60)
    news.fleet.start()
    news.launcher = news.fleet.launchers[0][1]
    return news


@pytest.fixture
def served(news, monkeypatch):
    """News of a run whose controller serves; the client and the workers only record."""
    monkeypatch.setattr(news, "_client", lambda info: ("client", info))
    made = Workers()
    monkeypatch.setattr(
        "hpcml.engines.ipyparallel.workers.EngineWorkers",
        lambda client, kill: made.__dict__.update(client=client) or made,
    )
    news.handle(news.fleet.controller, {"client": {"key": "c"}, "engine": {"key": "e"}})
    return news


def test_the_end_of_a_program_is_noted(news):
    news.handle(news.launcher, None)
    news.handle(None, None)
    assert news.fleet.ended == [news.launcher]


def test_orders_of_other_threads_go_to_the_launchers(news):
    news.handle(None, {"remove": "/dev/shm/file"})
    assert news.launcher.sent == [{"remove": "/dev/shm/file"}]
    assert news.fleet.controller.sent == []


def test_launchers_that_send_a_message_are_connected(news):
    news.handle(news.launcher, {"here": "n2"})
    news.handle(news.launcher, {"here": "n1"})
    assert news.connected_nodes == {"n1", "n2"}


def test_the_controllers_addresses_are_tried_by_all_nodes(news, monkeypatch):
    monkeypatch.setattr("hpcml.engines.ipyparallel.controller_address.reach", lambda *_: {"10.0.0.1": ""})
    offer = {"addresses": [["10.0.0.1", 5]], "token": "00"}
    news.handle(news.fleet.controller, offer)
    assert news.launcher.sent == [{"probe": offer}]
    for node in ("n1", "n2", "n3"):
        news.handle(news.launcher, {"node": node, "reached": {"10.0.0.1": ""}})
    news.address.choose(force=False)
    assert news.fleet.controller.sent == [{"bind": "10.0.0.1"}]


def test_the_launchers_fork_when_the_controller_serves(served):
    (order,) = served.launcher.sent
    assert order["start"]["engine"] == {"key": "e"}
    assert order["start"]["stride"] == 6
    assert [share["first"] for share in order["start"]["nodes"].values()] == [0, 2, 4]
    assert order["start"]["nodes"]["n2"] == {"slots": 2, "cpus_per_slot": 1, "cpus": 2, "first": 2}
    assert served.workers.client == ("client", {"key": "c"})


def test_another_controller_gets_the_same_workers_and_the_launchers_its_engines(served):
    before = served.workers
    served.handle(served.fleet.controller, {"client": {"key": "c2"}, "engine": {"key": "e2"}})
    assert served.workers is before
    assert before.calls == [("connect", ("client", {"key": "c2"}))]
    assert served.launcher.sent[1:] == [{"engine": {"key": "e2"}}]


def test_engines_that_are_forked_and_die_are_the_workers_news(served, caplog):
    caplog.set_level("DEBUG", "hpcml")
    served.handle(served.launcher, {"node": "n1", "forked": {"0": 0, "1": 1}, "note": "imported in 1.0 s"})
    served.handle(served.launcher, {"node": "n1", "died": 0, "status": "exit code 1", "forked": {"6": 0}})
    served.handle(served.launcher, {"node": "n1", "died": 6, "status": "exit code 1", "forked": {}})
    assert served.workers.calls == [
        ("forked", "n1", {0: 0, 1: 1}),
        ("died", 0, "exit code 1"),
        ("forked", "n1", {6: 0}),
        ("died", 6, "exit code 1"),
        ("forked", "n1", {}),
    ]
    assert served.recovery.given_up == 1
    assert "launcher on n1: imported in 1.0 s" in caplog.text


def test_prints_are_taken_by_the_outcomes_that_wait_for_them(served):
    served.handle(served.launcher, {"node": "n1", "slot": 0, "stream": 0, "printed": "a line\n"})
    assert served.workers.calls == [("printed", "a line\n")]


def test_news_of_engines_before_the_controller_serves_are_dropped(news):
    news.handle(news.launcher, {"node": "n1", "forked": {"0": 0}})
    news.ask_hub()
    assert news.workers is None


def test_the_hub_is_asked_now_and_then(served):
    for _ in range(5):
        served.ask_hub()
    assert served.workers.calls == [("ask_hub",)]
