"""Calls of a chunk: each runs as if it had been sent alone."""

import pickle

import cloudpickle
import pytest

from hpcml.data.arguments import Each, Plain
from hpcml.data.values import Values
from hpcml.engines import chunk_runner
from hpcml.engines.chunk_runner import Function, run_chunk


def plain(*arguments):
    """Return the arguments of calls with one argument each."""
    calls = [((one,), {}) for one in arguments]
    return Plain(pickle.dumps(calls), 0, len(calls))


def run(function, arguments, between=None):
    values = Values(1000)
    run_chunk(Function(cloudpickle.dumps(function)), arguments, values, between)
    return values.packed().load(lambda number: None)[0]


def test_a_call_does_not_see_changes_of_the_one_before():
    state = []

    def append(number):
        state.append(number)
        return list(state)

    assert run(append, plain(1, 2, 3)) == [[1], [2], [3]]


def test_arguments_that_are_pickled_apart():
    packed = Each(tuple(pickle.dumps((([n],), {})) for n in range(3)))
    assert run(sum, packed) == [0, 1, 2]


def test_a_function_that_changes_in_each_call_is_loaded_without_a_snapshot(monkeypatch):
    taken = []
    real = chunk_runner.take_snapshot
    monkeypatch.setattr(chunk_runner, "take_snapshot", lambda thing: taken.append(1) or real(thing))
    state = []
    assert run(lambda n: (state.append(n), len(state))[1], plain(*range(20))) == [1] * 20
    assert len(taken) == chunk_runner.MAX_CHANGES


def test_the_rest_of_a_long_chunk_is_left(monkeypatch):
    monkeypatch.setattr(chunk_runner, "MAX_CHUNK_SECONDS", -1.0)
    assert run(abs, plain(-1, -2, -3)) == [1]


def test_the_rest_of_a_chunk_with_large_values_is_left(monkeypatch):
    monkeypatch.setattr(chunk_runner, "MAX_VALUES_NBYTES", 0)
    assert run(lambda n: [n], plain(1, 2)) == [[1]]


def test_values_before_an_error_are_there():
    values, called = Values(1000), []
    with pytest.raises(ZeroDivisionError):
        run_chunk(Function(cloudpickle.dumps(lambda n: 1 / n)), plain(2, 0, 1), values, lambda: called.append(1))
    assert values.packed().load(lambda number: None) == ([0.5], None)
    assert called == [1]
