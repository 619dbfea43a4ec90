"""Streams of random numbers: the same for the same number, and the caller's own numbers stay as they are."""

import random

import numpy as np
import pytest
from deap import base

from hpcml.evolve.random_streams import (
    Evaluation,
    evaluate_all,
    get_states,
    keep_states,
    new_seed,
    set_fitness,
    set_states,
    states_of_seed,
)


def draw(individual=None):
    return random.random(), np.random.random()


def test_a_stream_depends_on_seed_and_number_alone():
    with keep_states():
        first = Evaluation(draw, "a")([], 3)
        assert Evaluation(draw, "a")([], 3) == first
        assert first not in (Evaluation(draw, "a")([], 4), Evaluation(draw, "b")([], 3))


def test_states_are_restored_after_an_error_too():
    before = repr(get_states())
    with pytest.raises(ZeroDivisionError), keep_states():
        draw()
        raise ZeroDivisionError
    assert repr(get_states()) == before


def test_a_new_seed_draws_nothing_and_follows_both_libraries():
    with keep_states():
        before, seed = repr(get_states()), new_seed()
        assert repr(get_states()) == before
        assert new_seed() == seed
        random.random()
        assert new_seed() != seed
    with keep_states():
        np.random.seed(1)
        one = new_seed()
        np.random.seed(2)
        assert new_seed() != one


def test_the_states_of_a_seed():
    with keep_states():
        set_states(states_of_seed("island 1"))
        first = draw()
        set_states(states_of_seed("island 2"))
        assert draw() != first
        set_states(states_of_seed("island 1"))
        assert draw() == first


def toolbox_of(evaluate, map_=map):
    toolbox = base.Toolbox()
    toolbox.register("evaluate", evaluate)
    toolbox.register("map", map_)
    return toolbox


def test_streams_are_numbered_on_across_generations(row):
    toolbox = toolbox_of(lambda one: (random.random(),))
    together, first, second = [row() for _ in range(4)], [row() for _ in range(2)], [row() for _ in range(2)]
    evaluate_all(toolbox, together, "seed", 10)
    evaluate_all(toolbox, first, "seed", 10)
    evaluate_all(toolbox, second, "seed", 12)
    assert [one.fitness.values for one in together] == [one.fitness.values for one in first + second]


def test_without_streams_evaluations_are_plain_calls(row):
    population = [row([1]), row([2])]
    evaluate_all(toolbox_of(lambda one: (one[0],)), population, None, 0)
    assert [one.fitness.values for one in population] == [(1.0,), (2.0,)]


def test_a_map_with_too_few_results(row):
    toolbox = toolbox_of(lambda one: (1,), lambda function, *args: [])
    with pytest.raises(ValueError, match="returned 0 results for 1 individuals"):
        evaluate_all(toolbox, [row()], "seed", 0)


def test_a_long_value_that_is_no_fitness_is_cut(row):
    with pytest.raises(
        TypeError, match=r"returned 'x{199}… for the PureRow \[1\]: its PureMost takes a tuple of 1"
    ):
        set_fitness(row([1]), "x" * 1000)
