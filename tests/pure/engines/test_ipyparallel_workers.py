"""What the driver makes of the news of its engines; they come from the launchers and the hub, in any order."""

from types import SimpleNamespace

import pytest

from hpcml.engines.ipyparallel.workers import EngineWorkers


@pytest.fixture
def engines(monkeypatch):
    """Two engines of one node; a client that hears of those in ``ids``, and a list of the killed."""
    monkeypatch.setattr("hpcml.engines.ipyparallel.workers.REPORT_SECONDS", 0.0)
    client = SimpleNamespace(_ids={0, 1}, _registration_callbacks=[], _handle_stranded_msgs=None)
    killed = []
    workers = EngineWorkers(client, killed.append)
    workers.forked("n1", {0: 0, 1: 1})

    def hub_says(*ids):
        client._ids = set(ids)
        for callback in client._registration_callbacks:
            callback({})

    return SimpleNamespace(workers=workers, killed=killed, hub_says=hub_says)


def test_an_end_that_its_launcher_explains_is_no_silence(engines, caplog):
    engines.workers.died(0, "signal SIGKILL")
    engines.hub_says(1)
    engines.workers.end_silent()
    engines.hub_says()
    engines.workers.died(1, "exit code 1")
    engines.workers.end_silent()
    assert engines.killed == []
    assert "no longer answers" not in caplog.text
    assert "worker n1:0 ended: signal SIGKILL" in caplog.text


def test_an_engine_that_falls_silent_is_killed_once(engines, caplog):
    engines.hub_says(1)
    for _ in range(3):
        engines.workers.end_silent()
    assert engines.killed == [0]
    assert caplog.text.count("worker n1:0 no longer answers") == 1
