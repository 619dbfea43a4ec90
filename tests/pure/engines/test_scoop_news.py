"""News of SCOOP's pool: prints are shown, deaths and silence become the error of the run."""

import os
import queue
import sys
from types import SimpleNamespace

import pytest
from driver_side import job_plan

from hpcml.engines.scoop.news import SILENT_QUESTIONS, PoolNews
from hpcml.engines.scoop.origin import PoolFailure
from hpcml.engines.scoop.output import Printed
from hpcml.errors import EngineError, WorkerDied


class Steps:
    """Steps that record the messages to the nodes, and are over when no message is left."""

    def __init__(self, inbox):
        self.ended = set()
        self.sent = []
        self.send = self.sent.append
        self._inbox = inbox

    @property
    def over(self):
        return self._inbox.empty()

    def logs(self):
        return "\nthe logs"


@pytest.fixture
def pool(tmp_path):
    """News of three nodes, and the failure that they cause."""
    inbox = queue.SimpleQueue()
    steps = Steps(inbox)
    failure = PoolFailure()
    news = PoolNews(job_plan(tmp_path), steps, inbox, failure)

    def take(*messages, program=None):
        for message in messages:
            inbox.put((program, message))
            news.take_next(1)

    return SimpleNamespace(news=news, take=take, failure=failure, steps=steps, inbox=inbox)


def test_nodes_report_themselves_and_what_they_reach(pool):
    pool.take({"here": "n2"}, {"node": "n2", "reached": {"10.0.0.1": ""}})
    assert pool.news.connected_nodes == {"n2"}
    assert pool.news.reached == {"n2": {"10.0.0.1": ""}}
    pool.news.take_next(0.001)
    pool.failure.check()


def test_prints_are_shown_from_when_the_pool_is_ready(pool, capsys, monkeypatch):
    monkeypatch.setattr(sys, "__stdout__", sys.stdout)
    monkeypatch.setattr(sys, "__stderr__", sys.stderr)
    pool.take({"node": "n1", "stream": 1, "text": "early\n"}, {"node": "n1", "stream": 2, "text": "warned\n"})
    assert capsys.readouterr() == ("", "")
    assert pool.news.last_errors("n1") == "; what was printed there ends with\n    warned"
    assert pool.news.last_errors("n2") == ""
    pool.news.show_prints()
    pool.take({"node": "n1", "stream": 1, "text": "late\n"})
    assert capsys.readouterr() == ("early\nlate\n", "warned\n")


def test_a_death_at_the_start_shows_what_was_printed(pool):
    pool.take(
        {"node": "n1", "stream": 2, "text": "ImportError\n"}, {"node": "n1", "slot": 1, "died": "exit code 1"}
    )
    with pytest.raises(WorkerDied) as caught:
        pool.failure.check()
    assert str(caught.value).startswith(
        "the worker in slot 1 of n1 ended while it started (exit code 1); what was"
    )
    assert "    ImportError\nthe logs" in str(caught.value)


def test_a_death_later_loses_tasks(pool):
    pool.news.show_prints()
    pool.take({"node": "n3", "slot": 0, "died": "signal SIGKILL"})
    with pytest.raises(WorkerDied, match=r"slot 0 of n3 ended \(signal SIGKILL\), and its tasks are lost"):
        pool.failure.check()


class Ended:
    status = 7


def test_the_end_of_a_step_is_an_error(pool):
    program = Ended()
    pool.take(None, program=program)
    assert pool.steps.ended == {program}
    with pytest.raises(EngineError, match=r"the step of the workers ended with status 7(?s:.*)the logs"):
        pool.failure.check()


def test_a_node_that_is_silent_while_others_answer_is_lost(pool):
    for _ in range(SILENT_QUESTIONS):
        pool.news._ask()
        pool.take({"alive": "n1"}, {"alive": "n3"})
    pool.failure.check()
    pool.news._ask()
    assert pool.steps.sent == [{"alive": True}] * (SILENT_QUESTIONS + 1)
    with pytest.raises(WorkerDied, match=r"n2 did not answer for 60 s(?s:.*)`sinfo --nodes=n2`"):
        pool.failure.check()


def test_when_all_are_silent_none_is_lost(pool):
    """The job may be suspended, or this process was."""
    for _ in range(2 * SILENT_QUESTIONS):
        pool.news._ask()
    pool.failure.check()


def test_a_message_that_cannot_be_used_is_an_error_and_the_next_is_taken(pool):
    pool.news.stop()
    for message in ({"node": "stranger", "stream": 1, "text": "?"}, {"here": "n1"}):
        pool.inbox.put((Ended(), message))
    pool.news.listen()
    assert pool.news.connected_nodes == {"n1"}
    with pytest.raises(EngineError, match="cannot be understood: KeyError"):
        pool.failure.check()


def test_prints_are_sent_in_whole_lines():
    reader, writer = os.pipe()
    printed = Printed("n1", 1, writer)
    os.write(printed.writer, "one\ntwo\nthr\N{EURO SIGN}".encode()[:-1])
    printed.forward()
    os.write(printed.writer, "\N{EURO SIGN}".encode()[-1:])
    printed.forward()
    printed.flush()
    os.close(writer)
    lines = os.read(reader, 10_000).splitlines()
    assert lines == [
        b'{"node": "n1", "stream": 1, "text": "one\\ntwo\\n"}',
        b'{"node": "n1", "stream": 1, "text": "thr\\u20ac"}',
    ]
    for descriptor in (reader, printed.reader, printed.writer):
        os.close(descriptor)
