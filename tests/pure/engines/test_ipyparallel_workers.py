"""Table of engines: news of them come from the launchers, the hub and failed requests, in any order."""

import threading
from types import SimpleNamespace

import pytest

from hpcml.data.outcomes import join_outcomes
from hpcml.engines.ipyparallel.client import EngineFailed
from hpcml.engines.ipyparallel.workers import EngineWorkers
from hpcml.errors import WorkerDied


class Client:
    """A client that sends nothing: the test gives the hub's news and the answers."""

    def __init__(self):
        self.registered = {0, 1}
        self.unreachable = set()
        self.sent = []
        self.is_closed = False

    def on_registration(self, callback):
        self.announce = callback

    def send_frame(self, engine, frame, receive):
        if engine in self.unreachable:
            return False
        self.sent.append((engine, frame, receive))
        return True

    def close(self):
        self.is_closed = True


@pytest.fixture
def engines(monkeypatch):
    """Two engines of one node, registered, their client, and a list of the killed."""
    monkeypatch.setattr("hpcml.engines.ipyparallel.engine_table.REPORT_SECONDS", 0.0)
    client = Client()
    killed = []
    workers = EngineWorkers(client, killed.append)
    workers.forked("n1", {0: 0, 1: 1})

    def hub_says(*ids):
        client.registered = set(ids)
        client.announce()

    return SimpleNamespace(workers=workers, client=client, killed=killed, hub_says=hub_says)


OUTCOMES = join_outcomes("n1:0", [])


def test_an_end_that_its_launcher_reports_is_no_silence(engines, caplog):
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


class SlowClient(Client):
    """A client that announces an engine, in another thread, while its list of engines is being read."""

    def __init__(self):
        super().__init__()
        self.announcing = None

    @property
    def registered(self):
        numbers = set(self.numbers)
        if self.announcing is None and numbers == {0}:
            self.numbers = {0, 1}
            self.announcing = threading.Thread(target=self.announce)
            self.announcing.start()
            self.announcing.join(0.3)
        return numbers

    @registered.setter
    def registered(self, numbers):
        self.numbers = numbers


def test_an_engine_that_registers_while_others_are_noted_is_not_lost():
    """A start would wait for that engine until its time is up."""
    client = SlowClient()
    client.registered = {0}
    workers = EngineWorkers(client, lambda _: None)
    workers.forked("n1", {0: 0, 1: 1})
    client.announcing.join(10)
    assert workers.ready == 2


def test_frames_go_to_the_least_busy_engine_that_is_alive(engines):
    for frame in (b"a", b"b", b"c"):
        engines.workers.submit(frame)
    engines.workers.died(0, "exit code 1")
    engines.workers.submit(b"d")
    sent = [(engine, frame) for engine, frame, _ in engines.client.sent]
    assert sent == [(0, b"a"), (1, b"b"), (0, b"c"), (1, b"d")]


def test_a_frame_goes_elsewhere_when_the_client_knows_first_of_a_death(engines):
    engines.client.unreachable = {0}
    future = engines.workers.submit(b"a")
    assert [engine for engine, *_ in engines.client.sent] == [1]
    engines.client.unreachable = {0, 1}
    late = engines.workers.submit(b"b")
    assert not future.done()
    assert str(late.exception()) == str(WorkerDied("no worker is there just now", started=False))
    assert engines.workers.slots == 0


def test_one_frame_of_a_dead_engine_had_started_whatever_order_they_fail_in(engines):
    engines.workers.died(1, "exit code 1")
    futures = [engines.workers.submit(frame) for frame in (b"a", b"b", b"c")]
    for _, _, receive in reversed(engines.client.sent):
        receive(EngineFailed("EngineError: died", is_alive=False))
    assert [future.exception().started for future in futures] == [True, False, False]
    engines.workers.end_silent()
    assert engines.killed == []  # of its end the hub tells


def test_an_engine_that_fails_and_lives_is_killed(engines):
    engines.workers.died(1, "exit code 1")
    future = engines.workers.submit(b"a")
    ((_, _, receive),) = engines.client.sent
    receive(EngineFailed("MemoryError: ", is_alive=True))
    assert future.exception().worker == "n1:0"
    engines.workers.end_silent()
    assert engines.killed == [0]
    assert engines.workers.hosts == ()


def test_an_interrupt_kills_when_the_turn_of_its_frame_comes_and_no_frame_follows(engines):
    engines.workers.died(1, "exit code 1")
    first, second = (engines.workers.submit(frame) for frame in (b"a", b"b"))
    engines.workers.interrupt(second)
    assert engines.killed == []
    engines.client.sent[0][2](OUTCOMES)
    assert first.result() == OUTCOMES
    assert engines.killed == [0]
    assert (engines.workers.ready, engines.workers.slots) == (0, 1)
    assert engines.workers.submit(b"c").exception().started is False


@pytest.mark.parametrize("give_up", ["lose", "disconnect"])
def test_frames_of_a_lost_node_or_controller_have_not_started(engines, give_up):
    future = engines.workers.submit(b"a")
    if give_up == "lose":
        engines.workers.lose({"n1"}, "the node is gone")
    else:
        engines.workers.disconnect("the controller is gone")
    assert future.exception().started is False
    engines.client.sent[0][2](OUTCOMES)  # an answer that comes late changes nothing
    assert "is gone" in str(future.exception())
    assert engines.client.is_closed == (give_up == "disconnect")
    assert engines.workers.hosts_with_engines == set()
