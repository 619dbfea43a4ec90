"""Each call of a map runs once, whatever the function changes and whatever cannot be read."""

import threading

import isolated
import pytest
from joblib import Parallel, delayed
from numbered_calls import executions, note

from hpcml.errors import TaskError


def test_a_call_that_changes_its_function_repeats_no_call(cluster, tmp_path):
    state, path = {"warned": False}, tmp_path / "log"

    def task(number, path):
        note(number, path)
        if number % 50 == 7 and not state["warned"]:
            state["warned"] = True
        return number

    assert list(cluster.map(task, range(600), [str(path)] * 600)) == list(range(600))
    assert executions(path) == dict.fromkeys(range(600), 1)
    path.unlink()
    Parallel(n_jobs=-1, backend="hpcml")(delayed(task)(n, str(path)) for n in range(600))
    assert executions(path) == dict.fromkeys(range(600), 1)


def test_a_value_that_cannot_be_sent_back_repeats_no_call(cluster, tmp_path):
    path = tmp_path / "log"

    def task(number, path):
        note(number, path)
        return threading.Lock() if number == 400 else [number]

    results = cluster.map(task, range(600), [str(path)] * 600)
    assert [next(results) for _ in range(400)] == [[n] for n in range(400)]
    with pytest.raises(TaskError, match="lock"):
        next(results)
    assert set(executions(path).values()) == {1}


def test_a_value_that_is_too_large_repeats_no_call(cluster, tmp_path, monkeypatch):
    path = tmp_path / "log"
    monkeypatch.setattr(cluster._session.dispatcher._limits, "max_result_nbytes", 10_000)

    def task(number, path):
        note(number, path)
        return bytearray(20_000 if number == 400 else 10)

    results = cluster.map(task, range(600), [str(path)] * 600)
    assert len([next(results) for _ in range(400)]) == 400
    with pytest.raises(TaskError, match="max_result_nbytes=10,000"):
        next(results)
    assert set(executions(path).values()) == {1}


def test_arguments_that_cannot_be_unpickled_hide_no_result(cluster):
    things = [n if n != 700 else isolated.Unreadable() for n in range(1000)]
    results = cluster.map(isolated.first_of, things)
    assert [next(results) for _ in range(700)] == list(range(700))
    with pytest.raises(KeyError, match="cannot be read"):
        next(results)


def test_a_value_that_cannot_be_unpickled_in_the_driver_hides_no_other(cluster):
    results = cluster.map(isolated.some_unreadable, range(1000))
    assert [next(results) for _ in range(700)] == [[n] for n in range(700)]
    with pytest.raises(TaskError, match="cannot be unpickled in the driver"):
        next(results)
