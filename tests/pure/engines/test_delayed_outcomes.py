"""Outcomes wait for the prints that the launcher had read of their worker, and not for ever."""

import pytest

from hpcml.data.outcomes import join_outcomes
from hpcml.engines.nodes import delayed_outcomes
from hpcml.engines.nodes.delayed_outcomes import DelayedOutcomes
from hpcml.engines.worker import Worker

WORKER = Worker("n1", 0)


@pytest.fixture
def events():
    return []


def outcomes(readings):
    return join_outcomes("n1:0", [], readings=readings)


def message(printed, readings=0, slot=0, **more):
    return {"node": "n1", "slot": slot, "stream": 1, "printed": printed, "readings": readings, **more}


def test_outcomes_without_missing_prints_are_released_at_once(events):
    DelayedOutcomes().add(WORKER, outcomes(0), lambda: events.append("resolved"))
    assert events == ["resolved"]


def test_outcomes_follow_the_prints_that_were_read_before(events):
    waiting = DelayedOutcomes()
    waiting.add(WORKER, outcomes(2), lambda: events.append("resolved"))
    for number in (1, 2):
        waiting.take(message(f"line {number}", number), lambda *shown: events.append(shown))
    assert events == [("n1:0", 1, b"line 1", False), ("n1:0", 1, b"line 2", False), "resolved"]


def test_prints_of_another_worker_release_nothing(events):
    waiting = DelayedOutcomes()
    waiting.add(WORKER, outcomes(1), lambda: events.append("resolved"))
    waiting.take(message("other", 5, slot=1), lambda *_: None)
    assert events == []


def test_the_end_of_a_workers_prints_is_shown_and_bytes_are_as_they_were(events):
    waiting = DelayedOutcomes()
    every_byte = bytes(range(256))
    waiting.take(message(every_byte.decode("latin-1"), ended=True), lambda *shown: events.append(shown))
    assert events == [("n1:0", 1, every_byte, True)]


def test_outcomes_do_not_wait_for_a_launcher_that_is_gone(events, monkeypatch):
    monkeypatch.setattr(delayed_outcomes, "PRINTS_TIMEOUT_SECONDS", -1.0)
    waiting = DelayedOutcomes()
    waiting.add(WORKER, outcomes(1), lambda: events.append("resolved"))
    assert events == []
    waiting.release_complete()
    assert events == ["resolved"]
    waiting.release_complete()
    assert events == ["resolved"]
