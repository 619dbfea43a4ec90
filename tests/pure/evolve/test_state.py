"""State of an evolution: halls of fame, and a population that is another one."""

from pathlib import Path

import pytest
from deap import base, tools

from hpcml.errors import HpcmlError
from hpcml.evolve import EaSimple
from hpcml.evolve.state import State, halloffame_content, restore_halloffame


def hall_of(rows, size, *genes):
    best = tools.HallOfFame(size)
    best.update(rows(*genes))
    return best


def genes(best):
    return [one[0] for one in best]


def test_a_hall_of_the_same_kind_is_filled_as_it_was(rows):
    content, other = halloffame_content(hall_of(rows, 2, 1, 2, 3)), tools.HallOfFame(2)
    restore_halloffame(other, content, [])
    assert genes(other) == [3, 2]
    other.update(rows(5))
    assert genes(other) == [5, 3]


def test_a_larger_hall_takes_the_individuals(rows):
    other = hall_of(rows, 9, 7)
    restore_halloffame(other, halloffame_content(hall_of(rows, 2, 1, 2, 3)), [])
    assert genes(other) == [3, 2]


def test_without_content_the_population_fills_the_hall(rows):
    best = tools.HallOfFame(1)
    restore_halloffame(best, halloffame_content(None), rows(4, 6))
    assert genes(best) == [6]


def test_no_hall_takes_nothing(rows):
    restore_halloffame(None, halloffame_content(hall_of(rows, 2, 1)), [])


def test_a_saved_state_continues(rows):
    population = rows(1, 2)
    state = State(EaSimple(0.5, 0.2), base.Toolbox(), population, None, None)
    state.seed = "seed"
    state.advance(rows(3, 4), 2)
    again = State(EaSimple(0.5, 0.2), base.Toolbox(), rows(0, 0), None, None)
    again.seed = "other"
    again.restore(state.save(), Path("file"))
    assert (again.number, again.evaluated, again.seed) == (0, 2, "seed")
    assert genes(again.population) == [3, 4]
    assert again.logbook.resumed == [1]


def test_a_population_of_another_size_is_refused(rows):
    packed = State(EaSimple(0.5, 0.2), base.Toolbox(), rows(1, 2), None, None).save()
    with pytest.raises(HpcmlError, match="began with 2 individuals, and this population has 3"):
        State(EaSimple(0.5, 0.2), base.Toolbox(), rows(1, 2, 3), None, None).restore(packed, Path("file"))
