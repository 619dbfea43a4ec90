"""Objects behind a toolbox: found through partials, decorators and methods; their state is saved and set."""

import functools
import random
import threading

import pytest
from deap import base

from hpcml.errors import HpcmlError
from hpcml.evolve.strategies import check_strategies, get_strategies, own_selections, set_strategies


class Strategy:
    def __init__(self):
        self.sigma = 1.0

    def generate(self, kind):
        return [kind([self.sigma])]

    def update(self, population):
        self.sigma /= 2


class Slotted:
    __slots__ = ("count",)

    def __init__(self):
        self.count = 0

    def __call__(self, population, k):
        self.count += 1
        return population[:k]


class Locked:
    def __init__(self):
        self.lock = threading.Lock()

    def __call__(self, population, k):
        return population[:k]


def toolbox_of(**functions):
    toolbox = base.Toolbox()
    for name, function in functions.items():
        toolbox.register(name, function)
    return toolbox


def decorated(function):
    @functools.wraps(function)
    def call(*args):
        return function(*args)

    return call


def test_the_state_is_saved_once_and_set_again():
    strategy = Strategy()
    toolbox = toolbox_of(generate=strategy.generate, update=decorated(strategy.update))
    saved = get_strategies(toolbox)
    strategy.update([])
    assert saved == [("Strategy", {"sigma": 1.0})]
    set_strategies(toolbox, saved, "file")
    assert strategy.sigma == 1.0


def test_a_callable_with_slots():
    select = Slotted()
    toolbox = toolbox_of(select=select)
    saved = get_strategies(toolbox)
    toolbox.select([1], 1)
    set_strategies(toolbox, saved, "file")
    assert select.count == 0


def test_the_owner_of_a_selection_method_is_not_saved():
    """It may be the whole program."""
    assert get_strategies(toolbox_of(select=Strategy().update)) == []


@pytest.mark.parametrize("function", [random.random, len, lambda: 1, Strategy])
def test_functions_without_a_state(function):
    assert get_strategies(toolbox_of(generate=function)) == []


def test_other_objects_are_refused_with_both_names():
    saved = get_strategies(toolbox_of(generate=Strategy().generate))
    with pytest.raises(HpcmlError, match="file holds the state of Strategy, and .* belong to no object"):
        set_strategies(toolbox_of(generate=lambda: 1), saved, "file")


def test_a_strategy_behind_a_lambda_is_refused():
    check_strategies(toolbox_of(generate=Strategy().generate))
    with pytest.raises(ValueError, match="register its bound methods"):
        check_strategies(toolbox_of(generate=lambda: 1, update=lambda population: None))


def test_a_selection_has_its_own_state_within_the_block():
    select = Slotted()
    toolbox = toolbox_of(select=select)
    with own_selections(toolbox, None) as state_now:
        toolbox.select([1], 1)
        saved = state_now()
    assert select.count == 0
    with own_selections(toolbox, saved) as state_now:
        assert select.count == 1
        toolbox.select([1], 1)
        assert state_now() != saved
    assert select.count == 0


def test_a_selection_that_cannot_be_copied_is_shared():
    with own_selections(toolbox_of(select=Locked()), None) as state_now:
        assert state_now() is None
