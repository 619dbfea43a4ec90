"""Evaluations in flight: taken in an order, placed into the population, cancelled, saved and sent again."""

import random
from concurrent.futures import Executor, Future
from pathlib import Path

import pytest
from deap import base, tools

from hpcml.errors import HpcmlError
from hpcml.evolve.pending_evaluations import PendingEvaluations
from hpcml.evolve.random_streams import keep_states


class ByHand(Executor):
    """Executor whose calls run when the test says so."""

    def __init__(self):
        self.calls = []

    def submit(self, function, /, *args):
        future = Future()
        self.calls.append((future, function, args))
        return future

    def run(self, place):
        future, function, args = self.calls[place]
        with keep_states():
            try:
                future.set_result(function(*args))
            except Exception as error:
                future.set_exception(error)


@pytest.fixture
def toolbox(row):
    found = base.Toolbox()
    found.register("evaluate", lambda one: (one[0],))
    found.register("select", tools.selBest)
    found.register("mate", lambda one, other: (one, other))
    found.register("mutate", lambda one: one.__setitem__(0, one[0] + 10))
    return found


def start(toolbox, row, *genes):
    executor, population = ByHand(), [row([gene]) for gene in genes]
    pending = PendingEvaluations(toolbox, executor, population, None)
    for _ in genes:
        pending.send()
    return executor, population, pending


def genes(population):
    return sorted(one[0] for one in population)


def test_individuals_are_taken_as_they_arrive_or_in_an_order(toolbox, row):
    executor, population, pending = start(toolbox, row, 1, 2, 3)
    assert (pending.in_flight, population) == (3, [])
    executor.run(2)
    executor.run(0)
    assert pending.wait(None) == 2
    assert pending.wait(0) == 0
    assert pending.take(2)[0] == 3
    assert (genes(population), pending.taken, pending.in_flight) == ([3], [2], 2)
    with pytest.raises(ValueError, match="individual 2 is not being evaluated now"):
        pending.wait(2)


def test_a_new_individual_replaces_the_worst_if_it_is_better(toolbox, row):
    executor, population, pending = start(toolbox, row, 1, 2)
    for place in range(2):
        executor.run(place)
        pending.take(place)
    pending.send()
    executor.run(2)
    assert pending.take(2)[0] == 12
    assert genes(population) == [2, 12]
    toolbox.register("mutate", lambda one: one.__setitem__(0, -5))
    pending.send()
    executor.run(3)
    pending.take(3)
    assert genes(population) == [2, 12]


def test_a_replacement_of_the_users(toolbox, row):
    toolbox.register("replace", lambda population, one: population.append(one))
    executor, population, pending = start(toolbox, row, 1)
    executor.run(0)
    pending.take(0)
    pending.send()
    executor.run(1)
    pending.take(1)
    assert genes(population) == [1, 11]


def test_what_has_not_arrived_is_cancelled_and_put_back(toolbox, row):
    executor, population, pending = start(toolbox, row, 1, 2, 3)
    executor.run(1)
    pending.take(1)
    pending.cancel()
    assert genes(population) == [1, 2, 3]
    assert [future.cancelled() for future, *_ in executor.calls] == [True, False, True]


@pytest.mark.parametrize(("error", "notes"), [(ValueError("no"), 1), (HpcmlError("no"), 0)])
def test_an_evaluation_that_fails_names_its_individual(error, notes, toolbox, row):
    def fail(one):
        raise error

    toolbox.register("evaluate", fail)
    executor, _, pending = start(toolbox, row, 1)
    executor.run(0)
    with pytest.raises(type(error)) as caught:
        pending.take(0)
    assert len(getattr(caught.value, "__notes__", [])) == notes


def test_a_saved_state_sends_the_same_individuals_again(toolbox, row):
    random.seed(1)
    executor, _, pending = start(toolbox, row, 1, 2, 3)
    executor.run(1)
    pending.take(1)
    packed = pending.save()
    other, population = ByHand(), [row([0]) for _ in range(3)]
    again = PendingEvaluations(toolbox, other, population, None)
    with keep_states():
        again.restore(packed, Path("file"))
    again.send_again()
    assert (genes(population), again.taken, again.sent, again.seed) == ([2], [1], 3, pending.seed)
    assert sorted(args[0][0] for *_, args in other.calls) == [1, 3]
