"""Evaluations that are shorter than their journey are made by the driver, and nobody can tell from the results."""

import functools
import random
import sys
import time

import numpy as np
import pytest
from deap import creator
from evolution import Counter, count_ones, draw, improve, meddle, process, refuse, slow_after, swap
from evolving import bit_toolbox

import hpcml
from hpcml import evolve
from hpcml.granularity import note_map

HERE = (1.0,)


@pytest.fixture(autouse=True)
def whatever_was_before(creator_classes, monkeypatch):
    monkeypatch.setattr("hpcml.short_calls._refused", set())
    monkeypatch.setattr("hpcml.short_calls.SENDING_SECONDS", 0.005)  # a busy machine must not decide what is short


def bits(number=400):
    generator = random.Random(1)
    return [creator.Bits(generator.choices((0, 1), k=10)) for _ in range(number)]


def make_known(cluster, function, *others):
    """Have the workers make calls until it is known how short they are."""
    return list(cluster.map(function, bits(), *others))


def test_workers_are_spared_short_evaluations_once_these_are_known(cluster):
    assert HERE not in make_known(cluster, process)
    assert set(cluster.map(process, bits())) == {HERE}


def test_those_of_a_loop_of_generations_too(cluster):
    toolbox = bit_toolbox(cluster.map, process)
    for generation in evolve.generations(evolve.EaSimple(0.5, 0.2), toolbox, 4, bits()):
        pass
    assert HERE in {one.fitness.values for one in generation.population}


def test_other_calls_stay_with_the_workers(cluster):
    make_known(cluster, process)
    nested = [creator.Bits([[1], [2]]) for _ in range(100)]
    assert HERE not in list(cluster.map(process, nested))
    assert HERE not in list(cluster.map(process, [[1, 2]] * 100))
    assert HERE not in list(cluster.map(process, bits(), timeout=60))
    strategic = bits(100)
    for one in strategic[1:]:
        one.strategy = [0.1]
    assert list(cluster.map(process, strategic)).count(HERE) <= 1


def test_an_argument_that_is_changed_is_a_copy(cluster):
    lists = [[] for _ in range(400)]
    for _ in range(3):
        assert set(cluster.map(lambda one, seen: seen.append(one) or (len(seen),), bits(), lists)) == {(1,)}
    assert not any(lists)


@pytest.mark.parametrize("function", [meddle, improve])
def test_an_individual_is_as_before_whatever_the_function_does_to_it(cluster, function):
    first = make_known(cluster, function)
    for _ in range(2):
        population = bits()
        population[3].fitness.values = (5.0,)
        assert list(cluster.map(function, population)) == first
        assert population == bits()
        assert population[3].fitness.values == (5.0,)
        assert not population[5].fitness.valid
        assert vars(population[5]).keys() == {"fitness"}


def test_two_individuals_swap_genes(cluster):
    expected = [swap(*pair) for pair in zip(bits(), bits()[::-1], strict=True)]
    for _ in range(3):
        assert list(cluster.map(swap, bits(), bits()[::-1])) == expected


def test_what_draws_random_numbers_is_for_workers(cluster):
    make_known(cluster, draw)
    random.seed(1), np.random.seed(1)
    before = random.getstate(), np.random.get_state()[1].tolist()
    found = [one for _ in range(3) for one in cluster.map(draw, bits())]
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before
    assert len({value for value, _ in found}) == len(found)
    assert HERE not in {(where,) for _, where in found}


def test_a_function_with_a_state_begins_anew_with_each_call(cluster):
    counter, seen = Counter(), []

    def evaluate(one):
        if one[0]:
            seen.append(one)
        return (len(seen),)

    for _ in range(3):
        assert set(cluster.map(counter, bits())) == {(1.0,)}
        population = [creator.Bits([n % 150 == 149, 0]) for n in range(400)]
        assert [value for (value,) in cluster.map(evaluate, population)] == [one[0] for one in population]
    assert counter.calls == len(seen) == 0


def test_an_individual_that_fails_is_named(cluster):
    list(cluster.map(refuse, [creator.Bits([0])] * 400))
    population = [creator.Bits([0] * n + [1, 1, 1]) if n == 150 else creator.Bits([0]) for n in range(200)]
    results = cluster.map(refuse, population)
    assert [next(results) for _ in range(150)] == [(0.0,)] * 150
    with pytest.raises(ValueError, match="three are too many") as caught:
        next(results)
    assert any("the Bits [0, 0" in note for note in caught.value.__notes__)
    assert "RemoteTraceback" in repr(caught.value.__cause__)


def test_what_takes_longer_than_before_goes_to_the_workers(cluster, tmp_path):
    evaluate = functools.partial(slow_after, flag=str(tmp_path / "slow"))
    make_known(cluster, evaluate)
    assert set(cluster.map(evaluate, bits(100))) == {HERE}
    (tmp_path / "slow").touch()
    found = list(cluster.map(evaluate, bits(40)))
    assert 0 < found.count(HERE) < 10
    assert found == sorted(found, key=lambda one: one != HERE)  # from the first on here, the rest there
    assert HERE not in list(cluster.map(evaluate, bits(40)))


def test_with_a_limit_for_each_call_none_is_made_here(tmp_path):
    with hpcml.Cluster("local", slots_per_node=2, run_dir=tmp_path, progress=False, task_timeout=30) as cluster:
        make_known(cluster, process)
        assert HERE not in list(cluster.map(process, bits()))


def test_the_times_of_one_lambda_are_not_those_of_another(cluster):
    def short_and_long():
        yield lambda _: (1.0,)
        yield lambda _: time.sleep(0.2) or HERE

    short, long = short_and_long()
    for _ in range(3):
        make_known(cluster, short)
    began = time.monotonic()
    list(cluster.map(long, bits(3)))
    assert time.monotonic() - began < 3 * 0.2  # three at once


def _note_of_quiet_machine(name, calls, seconds, wall, slots):
    note_map(name, calls, min(seconds, 1e-6), wall, slots)


def test_it_is_said_once_with_what_was_measured(cluster, caplog, monkeypatch):
    monkeypatch.setattr("hpcml.granularity._spent", {})
    monkeypatch.setattr("hpcml.mapping.note_map", _note_of_quiet_machine)
    for _ in range(4):
        make_known(cluster, count_ones)
    (record,) = caplog.records
    message = record.getMessage()
    assert message.startswith("400 calls of evolution.count_ones took")
    assert all(words in message for words in ("one takes", "and sending it", "on it gains"))
    assert message.endswith("This process makes them itself from now on")
    assert sys.modules["hpcml.granularity"]._spent["evolution.count_ones"].calls == 400
