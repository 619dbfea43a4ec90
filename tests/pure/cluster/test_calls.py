"""Calls are made once: with a key where a journal records them, not at all where it has their outcome."""

import functools

import pytest

from hpcml.cluster import calls as calls_module
from hpcml.cluster.calls import MAX_KEY_SHARE, Calls, is_uniform
from hpcml.data.call_data import CallData
from hpcml.data.envelope import Call, RecordedOutcome
from hpcml.data.outcomes import Outcome
from hpcml.errors import TaskError


class Journal:
    """In the place of a run's journal: has results by key."""

    def __init__(self):
        self.results = {}
        self.key_seconds = {}
        self.given = []

    @property
    def reusable(self):
        return len(self.results)

    def number_keys(self, digests):
        self.given += digests
        return digests

    def recorded_outcome(self, key, classes):
        return self.results.get(key)

    def note_classes(self, classes):
        pass


@pytest.fixture
def journal(monkeypatch):
    monkeypatch.setattr(calls_module, "_warned", set())  # other tests look for a function's first warning
    return Journal()


def calls_of(journal):
    return Calls(CallData(None, None), journal, at_once=False)


def pows(*numbers):
    return [(pow, (number, 2), {}) for number in numbers]


def test_without_a_journal_calls_have_no_key():
    call = calls_of(None).make(pow, (2, 3), {}, "group", width=4)
    assert isinstance(call, Call)
    assert (call.key, call.name, call.group, call.width, call.length) == ("", "builtins.pow", "group", 4, 1)
    _, chunk = calls_of(None).make_chunk(pow, pows(1, 2), "group")
    assert chunk.keys == ("", "")


def test_a_recorded_outcome_takes_the_place_of_the_call(journal):
    key = calls_of(journal).make(pow, (2, 3), {}, "group").key
    journal.results[key] = outcome = Outcome(8)
    assert calls_of(journal).make(pow, (2, 3), {}, "group") == RecordedOutcome(outcome, "group")
    assert isinstance(calls_of(journal).make(pow, (3, 2), {}, "group"), Call)


def test_a_chunk_is_of_the_calls_that_have_no_outcome_yet(journal):
    keys = [calls_of(journal).make(*call, "group").key for call in pows(1, 2, 3)]
    journal.results[keys[1]] = Outcome(4)
    recorded, chunk = calls_of(journal).make_chunk(pow, pows(1, 2, 3), "group")
    assert recorded == [None, RecordedOutcome(Outcome(4), "group"), None]
    assert chunk.keys == (keys[0], keys[2])
    journal.results.update(dict.fromkeys(keys, Outcome(0)))
    recorded, chunk = calls_of(journal).make_chunk(pow, pows(1, 2, 3), "group")
    assert None not in recorded
    assert chunk is None


def test_keys_that_take_too_long_for_short_calls_are_left_out(journal):
    calls = calls_of(journal)
    items = [(sum, ([number],), {}) for number in range(5)]
    calls.seconds = 1e-6
    _, chunk = calls.make_chunk(sum, items, "group")
    assert chunk.keys == ("",) * 5
    calls.seconds = 100.0
    journal.key_seconds.clear()
    _, chunk = calls.make_chunk(sum, items, "group")
    assert len(set(chunk.keys)) == 5
    assert journal.key_seconds["builtins.sum"] < MAX_KEY_SHARE * calls.seconds


def test_keys_of_plain_calls_are_made_however_short_they_are(journal):
    calls = calls_of(journal)
    calls.seconds = 1e-9
    _, chunk = calls.make_chunk(pow, pows(1, 2), "group")
    assert len(set(chunk.keys)) == 2


def test_an_initializer_is_part_of_the_key(journal):
    calls, prepared = calls_of(journal), calls_of(journal)
    prepared.prepared = (print, ("once",))
    assert calls.make(pow, (2, 3), {}, "group").key != prepared.make(pow, (2, 3), {}, "group").key


def test_an_argument_that_cannot_be_pickled_is_an_error(journal):
    with pytest.raises(TaskError, match=r"an argument of builtins.len cannot be sent to a worker: args\[0\]"):
        calls_of(journal).make(len, ((n for n in ()),), {}, "group")


def test_calls_of_one_function_are_uniform():
    assert is_uniform(pows(1, 2))
    assert not is_uniform([*pows(1), (functools.partial(pow, 2), (1,), {})])
