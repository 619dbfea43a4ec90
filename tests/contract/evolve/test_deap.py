"""Programs of DEAP need ``toolbox.register("map", cluster.map)``, and nothing else."""

import copy
import pickle
import random
import traceback

import evolution
import numpy as np
import pytest
from deap import algorithms, base, cma, creator, gp, tools
from evolution import count_ones, decorated, grow, make_creator, refuse, sphere, two_of, weigh, where
from evolving import bit_toolbox, statistics

pytestmark = pytest.mark.usefixtures("creator_classes")

POPULATION = 300


def bits(number=POPULATION, length=20):
    random.seed(1)
    return [creator.Bits(random.randint(0, 1) for _ in range(length)) for _ in range(number)]


def one_max(map_, evaluate=count_ones):
    """Return logbook, best individual and population of DEAP's own algorithm on a problem of bits."""
    best, toolbox = tools.HallOfFame(1), bit_toolbox(map_, evaluate)
    population, log = algorithms.eaSimple(bits(), toolbox, 0.5, 0.2, 6, statistics(), best, verbose=False)
    return log, best[0], population


def test_a_genetic_algorithm_is_that_of_one_process(cluster):
    alone, ours = one_max(map), one_max(cluster.map)
    assert ours == alone
    assert type(ours[1]) is creator.Bits
    assert {type(one) for one in ours[2]} == {creator.Bits}


@pytest.mark.parametrize("evaluate", [decorated, lambda one: (sum(one) ** 2,)])
def test_decorated_functions_and_lambdas_evaluate_as_with_map(cluster, evaluate):
    assert one_max(cluster.map, evaluate) == one_max(map, evaluate)


def test_a_penalty_and_a_static_limit_work_as_with_map(cluster):
    toolbox = base.Toolbox()
    toolbox.register("evaluate", count_ones)
    toolbox.decorate("evaluate", tools.ClosestValidPenalty(lambda one: sum(one) < 11, lambda one: one[:10], 1.0))
    population = bits()
    assert list(cluster.map(toolbox.evaluate, population)) == list(map(toolbox.evaluate, population))


def test_individuals_arrive_equal(cluster):
    population = bits(50)
    population[1].fitness.values = (3.0,)
    seen = list(cluster.map(where, population))
    assert {one[:2] for one in seen} == {("Bits", True)}
    assert [one[2] for one in seen] == [number == 1 for number in range(50)]


def test_a_task_that_makes_individuals_has_the_classes_that_the_script_has_made(cluster):
    creator.create("Late", list, fitness=creator.FitnessMax)
    try:
        made = list(cluster.map(lambda size: creator.Late([1] * size), range(9)))
        assert made == [[1] * size for size in range(9)]
        assert {type(one) for one in made} == {creator.Late}
    finally:
        del creator.Late


def test_creator_classes_of_the_driver_are_not_replaced(cluster):
    before = creator.Bits, creator.FitnessMax
    for _ in range(3):
        back = list(cluster.map(list.copy, [[one] for one in bits(200)]))
        assert {type(one[0]) for one in back} == {creator.Bits}
    assert (creator.Bits, creator.FitnessMax) == before


def test_classes_that_change_between_two_maps_are_sent_again(cluster):
    assert one_max(cluster.map)[1].fitness.weights == (1.0,)
    make_creator()
    del creator.FitnessMax, creator.Bits
    creator.create("FitnessMax", base.Fitness, weights=(-1.0,))
    creator.create("Bits", list, fitness=creator.FitnessMax, label="other")
    assert one_max(cluster.map) == one_max(map)
    (back,) = cluster.map(list.copy, [[creator.Bits([1])]])
    assert back[0].label == "other"
    assert back[0].fitness.weights == (-1.0,)


def test_numpy_individuals_arrive_equal_and_writable(cluster):
    population = [creator.Vector(np.arange(n % 7, dtype=float)) for n in range(200)]
    for one in population:
        one.strategy = [0.5]
    assert list(cluster.map(sphere, population)) == list(map(sphere, population))
    (back,) = cluster.map(list.copy, [[population[3]]])
    assert type(back[0]) is creator.Vector
    assert back[0].strategy == [0.5]
    np.testing.assert_array_equal(back[0], population[3])
    back[0][0] = 7.0


def test_trees_are_evaluated_as_with_map(cluster):
    pset = evolution.primitives()
    random.seed(3)
    population = [creator.Tree(gp.genHalfAndHalf(pset, min_=1, max_=3)) for _ in range(100)]
    toolbox = base.Toolbox()
    toolbox.register("evaluate", evolution.evaluate_tree, pset=pset, points=[x / 10 for x in range(-10, 10)])
    toolbox.register("mate", gp.cxOnePoint)
    toolbox.decorate("mate", gp.staticLimit(key=lambda one: one.height, max_value=17))
    assert list(cluster.map(toolbox.evaluate, population)) == list(map(toolbox.evaluate, population))
    (back,) = cluster.map(list.copy, [[population[0]]])
    assert str(back[0]) == str(population[0])


class Slotted:
    __slots__ = ("genome",)


class Remembering:
    """Base class without an ``__init__``, with a ``__getstate__`` of its own."""

    def __getstate__(self):
        return {"fitness": self.fitness, "genome": sorted({*self.genome, "seen"})}


@pytest.mark.parametrize("base_class", [tuple, str, frozenset, Slotted, Remembering, list, set])
def test_individuals_of_any_base_class_arrive_equal(cluster, base_class):
    vars(creator).pop("Any", None)
    creator.create("Any", base_class, fitness=creator.FitnessMax)
    one = creator.Any() if base_class in (Slotted, Remembering) else creator.Any("abc")
    if base_class in (Slotted, Remembering):
        one.genome = ["a"]
    expected = pickle.loads(pickle.dumps(one))
    (found,) = cluster.map(copy.copy, [one])
    assert type(found) is creator.Any
    assert getattr(found, "genome", None) == getattr(expected, "genome", None)



def test_two_populations_are_mapped_together(cluster):
    hosts, parasites = bits(100), bits(100)[::-1]
    assert list(cluster.map(two_of, hosts, parasites)) == list(map(two_of, hosts, parasites))


def test_a_partial_with_a_large_array_evaluates_as_with_map(cluster):
    toolbox = base.Toolbox()
    toolbox.register("evaluate", weigh, table=np.arange(500_000.0))
    population = bits(100)
    assert list(cluster.map(toolbox.evaluate, population)) == list(map(toolbox.evaluate, population))


def test_cma_es_is_that_of_one_process(cluster):
    creator.create("Numbers", list, fitness=creator.FitnessMin)

    def run(map_):
        np.random.seed(5)
        strategy = cma.Strategy(centroid=[5.0] * 5, sigma=5.0, lambda_=40)
        toolbox = base.Toolbox()
        toolbox.register("evaluate", evolution.rastrigin)
        toolbox.register("generate", strategy.generate, creator.Numbers)
        toolbox.register("update", strategy.update)
        toolbox.register("map", map_)
        best = tools.HallOfFame(1)
        algorithms.eaGenerateUpdate(toolbox, ngen=8, halloffame=best, verbose=False)
        return best[0], best[0].fitness.values

    assert run(cluster.map) == run(map)


def test_an_individual_that_fails_is_named(cluster):
    population = [creator.Bits([0] * n + [1, 1, 1]) if n == 150 else creator.Bits([0]) for n in range(200)]
    for _ in range(2):  # sent alone, then in a chunk
        with pytest.raises(ValueError, match="three are too many") as caught:
            list(cluster.map(refuse, population))
        assert any("the Bits [0, 0" in note for note in caught.value.__notes__)
        assert "the Bits [0, 0" in "".join(traceback.format_exception(caught.value))


def test_a_toolbox_with_its_map_can_be_sent(cluster):
    toolbox = base.Toolbox()
    toolbox.register("evaluate", count_ones)
    toolbox.register("map", cluster.map)
    islands = [bits(20)[first::4] for first in range(4)]
    evolved = list(cluster.map(grow, islands, [toolbox] * 4, [2] * 4))
    assert evolved == islands
    assert [one.fitness.values for island in evolved for one in island] == [
        (sum(one),) for island in islands for one in island
    ]
    assert type(evolved[0][0]) is creator.Bits


def test_genomes_are_packed_compactly():
    from hpcml.data.out_of_band import dumps_result

    population = bits(100)
    assert len(dumps_result(population)) < len(pickle.dumps([list(one) for one in population])) + 100 * 12 + 600
