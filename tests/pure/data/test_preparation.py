"""Initializers of workers: each is called once in a process, until another one is."""

import numpy as np
import pytest

from hpcml.data import preparation
from hpcml.data.preparation import Preparation, preparation_of
from hpcml.errors import TaskError

calls = []


def note(*arguments):
    if arguments == ("fail",):
        raise ValueError("failed")
    calls.append(arguments)


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    calls.clear()
    monkeypatch.setattr(preparation, "_done", "")
    monkeypatch.setattr(preparation, "_last", None)


def test_it_is_called_once_until_another_is():
    first, second = Preparation(note, (1,)), Preparation(note, (2,))
    for each in (first, first, second, second, first):
        each.run_once()
    assert calls == [(1,), (2,), (1,)]


def test_one_that_fails_is_called_again_and_its_error_says_what_it_is():
    failing = Preparation(note, ("fail",))
    for _ in range(2):
        with pytest.raises(ValueError, match="failed") as caught:
            failing.run_once()
        assert caught.value.__notes__ == ["hpcml: raised by the initializer of Parallel(initializer=…)"]


def test_equal_initializers_have_one_preparation():
    first = preparation_of(note, (1,))
    assert preparation_of(note, (1,)) is first
    assert preparation_of(note, (2,)) is not first
    assert preparation_of(note, (np.zeros(2),)) is not preparation_of(note, (np.zeros(2),))


def test_its_arguments_are_those_of_the_time_at_which_it_is_made():
    argument = [1]
    made = Preparation(note, (argument,))
    argument.append(2)
    made.run_once()
    assert calls == [([1],)]


def test_one_that_cannot_be_sent_is_an_error():
    with pytest.raises(TaskError, match="the initializer of Parallel cannot be sent to a worker"):
        Preparation(note, ((n for n in ()),))
