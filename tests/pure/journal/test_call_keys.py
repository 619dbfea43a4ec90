"""Keys of whole calls: function, arguments, and a chunk of calls."""

import types

import pytest
from keyed_calls import JournalStub, call_keys

from hpcml.cluster.calls import Calls
from hpcml.data.call_data import CallData
from hpcml.errors import TaskError


def test_calls_with_other_arguments_are_other_calls():
    calls = [
        (max, (1, 2), {}), (min, (1, 2), {}), (max, (2, 1), {}), (max, ((1, 2),), {}), (max, (1, 2), {"a": 1}),
        (max, ((1, 2), {"a": 1}), {}), (max, (1, 2, ("a", 1)), {}), (max, (1.0, 2), {}), (max, (True, 2), {}),
        (max, (), {}), (max, (None,), {}), (max, ("1", "2"), {}), (max, (b"1", b"2"), {}), (max, ([1, 2],), {}),
        (max, (-0.0,), {}), (max, (0.0,), {}), (max, (), {"a": 1, "b": 2}), (max, (), {"a": 1}),
    ]  # fmt: skip
    keys = call_keys(*calls)
    assert len(set(keys)) == len(calls)
    assert call_keys(*reversed(calls)) == keys[::-1]


def test_a_call_is_the_same_in_a_chunk():
    calls = [(max, (1, n), {}) for n in range(3)] + [(max, (1, n), {"key": None}) for n in range(3)]
    run_journal = JournalStub()
    _, chunk = Calls(CallData(None, None), run_journal, at_once=False).make_chunk(max, calls, "group", None)
    assert run_journal.digests == call_keys(*calls)
    assert chunk.keys == tuple(run_journal.digests)


def test_a_function_that_changes_between_two_calls():
    count = 0

    def function():
        return count

    count = 1
    first = call_keys((function, (), {}))
    count = 2
    assert call_keys((function, (), {})) != first
    counter = types.SimpleNamespace(n=1)
    run_journal = JournalStub()
    made = Calls(CallData(None, None), run_journal, at_once=False)
    for number in (1, 2):
        counter.n = number
        made.make(lambda: counter.n, (), {}, "group")
    assert len(set(run_journal.digests)) == 2


def test_a_call_without_a_key_is_reported_once(caplog):
    class Stubborn:
        def __reduce__(self):
            if self.asked:
                return dict, ()
            raise KeyError("not now")

        asked = False

    def function_of_this_test(thing):  # the report is made once for a function's name
        return thing

    thing = Stubborn()
    run_journal = JournalStub()
    for _ in range(3):
        with pytest.raises(TaskError, match="not now"):
            calls = Calls(CallData(None, None), run_journal, at_once=False)
            calls.make(function_of_this_test, (thing,), {}, "group")
    assert not run_journal.digests
    assert caplog.text.count("cannot be recognised when the run is resumed") == 1
