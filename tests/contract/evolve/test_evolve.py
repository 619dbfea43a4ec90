"""`hpcml.evolve` against DEAP's own functions, on one process and on a Cluster."""

import itertools
import random
import time

import evolution
import numpy as np
import pytest
from deap import algorithms, base, creator, gp, tools
from evolution import noisy_count
from evolving import (
    bit_toolbox,
    bits,
    numbers,
    outcome,
    real_toolbox,
    run_ours,
    same,
    statistics,
    steady,
    strategy_toolbox,
    three_are_too_many,
)

from hpcml import evolve
from hpcml.errors import HpcmlError

pytestmark = pytest.mark.usefixtures("creator_classes")


def run_theirs(function, *args, seed=4, population=True):
    random.seed(seed)
    np.random.seed(seed)
    best = tools.HallOfFame(3)
    start = (bits(),) if population else ()
    found, log = function(*start, *args, stats=statistics(), halloffame=best, verbose=False)
    return outcome(found, log, best)


CASES = {
    "simple": (evolve.EaSimple(0.5, 0.2), lambda box: run_theirs(algorithms.eaSimple, box, 0.5, 0.2, 8)),
    "plus": (
        evolve.EaMuPlusLambda(60, 80, 0.5, 0.2),
        lambda box: run_theirs(algorithms.eaMuPlusLambda, box, 60, 80, 0.5, 0.2, 8),
    ),
    "comma": (
        evolve.EaMuCommaLambda(60, 80, 0.5, 0.2),
        lambda box: run_theirs(algorithms.eaMuCommaLambda, box, 60, 80, 0.5, 0.2, 8),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_same_as_deap_bit_for_bit(case, cluster):
    algorithm, theirs = CASES[case]
    expected = theirs(bit_toolbox())
    assert run_ours(algorithm, bit_toolbox(), 8, None) == expected
    assert run_ours(algorithm, bit_toolbox(cluster.map), 8, None) == expected
    assert run_ours(algorithm, bit_toolbox(cluster.map), 8, None, streams=False) == expected


@pytest.mark.parametrize("kind", ["cma", "pbil"])
def test_strategies_as_deap_bit_for_bit(kind, cluster):
    creator.create("Numbers", list, fitness=creator.FitnessMin)
    expected = run_theirs(algorithms.eaGenerateUpdate, strategy_toolbox(kind), 9, population=False)
    ours = evolve.EaGenerateUpdate()
    assert run_ours(ours, strategy_toolbox(kind), 9, []) == expected
    assert run_ours(ours, strategy_toolbox(kind, cluster.map), 9, []) == expected


def test_random_numbers_of_an_evaluation_are_its_own(cluster):
    found = {run_ours(evolve.EaSimple(0.5, 0.2), bit_toolbox(m, noisy_count), 5, None) for m in (map, cluster.map)}
    assert len(found) == 1
    assert run_ours(evolve.EaSimple(0.5, 0.2), bit_toolbox(map, noisy_count), 5, None, seed=5) not in found


def test_a_loop_that_is_left_keeps_its_population():
    toolbox = bit_toolbox()
    random.seed(1)
    population = bits()
    for generation in evolve.generations(evolve.EaSimple(0.5, 0.2), toolbox, 100, population):
        if generation.number == 3:
            break
    assert generation.population is population
    assert generation.logbook.select("gen") == [0, 1, 2, 3]


def test_a_map_that_returns_too_few_is_an_error():
    toolbox = bit_toolbox(lambda function, *iterables: list(map(function, *iterables))[:-1])
    with pytest.raises(ValueError, match="59 results for 60 individuals"):
        run_ours(evolve.EaSimple(0.5, 0.2), toolbox, 2, None)


@pytest.mark.parametrize("kind", ["nsga2", "nsga3"])
def test_nsga3_with_many_objectives_finds_the_front(kind, cluster):
    creator.create("Two", base.Fitness, weights=(-1.0, -1.0))
    creator.create("Numbers", list, fitness=creator.Two)

    def run(map_):
        random.seed(2)
        np.random.seed(2)
        toolbox = real_toolbox(evolution.zdt1, map_)
        if kind == "nsga2":
            toolbox.register("select", tools.selNSGA2)
            algorithm = evolve.Nsga2(cxpb=0.9)
        else:
            toolbox.register("select", tools.selNSGA3, ref_points=tools.uniform_reference_points(2, 12))
            algorithm = evolve.Nsga3(cxpb=1.0, mutpb=1.0)
        population = numbers(creator.Numbers, 40, 6)
        for last in evolve.generations(algorithm, toolbox, 60, population):
            pass
        return [one.fitness.values for one in last.population]

    found = run(cluster.map)
    assert found == run(map)
    distance = [abs(second - (1 - np.sqrt(first))) for first, second in found]
    assert np.median(distance) < 0.25  # zdt1's front is f2 = 1 - sqrt(f1)


def test_nsga2_needs_a_multiple_of_four():
    creator.create("Numbers", list, fitness=creator.FitnessMin)
    toolbox = real_toolbox(evolution.paraboloid)
    toolbox.register("select", tools.selNSGA2)
    with pytest.raises(ValueError, match="multiple of four"):
        list(evolve.generations(evolve.Nsga2(0.9), toolbox, 1, numbers(creator.Numbers, 6, 3)))


def test_differential_evolution_finds_the_minimum(cluster):
    creator.create("Numbers", list, fitness=creator.FitnessMin)

    def run(map_):
        random.seed(3)
        toolbox = real_toolbox(evolution.paraboloid, map_)
        population = numbers(creator.Numbers, 40, 4)
        logs = [
            [one.fitness.values[0] for one in generation.population]
            for generation in evolve.generations(evolve.DifferentialEvolution(0.9, 0.6), toolbox, 60, population)
        ]
        assert all(min(after) <= min(before) for before, after in itertools.pairwise(logs))
        return logs

    found = run(cluster.map)
    assert found == run(map)
    assert min(found[-1]) < 1e-6


def test_a_swarm_finds_the_minimum(cluster):
    creator.create("Particle", list, fitness=creator.FitnessMin, speed=list, best=None)

    def run(map_):
        random.seed(3)
        toolbox = base.Toolbox()
        toolbox.register("evaluate", evolution.paraboloid)
        toolbox.register("update", evolution.move)
        toolbox.register("map", map_)
        swarm = []
        for _ in range(30):
            particle = creator.Particle(random.uniform(-6, 6) for _ in range(3))
            particle.speed = [random.uniform(-1, 1) for _ in particle]
            swarm.append(particle)
        algorithm = evolve.ParticleSwarm()
        best = [algorithm.best.fitness.values[0] for _ in evolve.generations(algorithm, toolbox, 60, swarm)]
        assert best == sorted(best, reverse=True)
        return best

    found = run(cluster.map)
    assert found == run(map)
    assert found[-1] < 1e-2


def test_genetic_programming_fills_a_hall_of_fame(cluster):
    def run(map_):
        random.seed(7)
        pset = evolution.primitives()
        toolbox = base.Toolbox()
        toolbox.register("evaluate", evolution.evaluate_tree, pset=pset, points=[x / 10 for x in range(-10, 10)])
        toolbox.register("select", tools.selTournament, tournsize=3)
        toolbox.register("mate", gp.cxOnePoint)
        toolbox.register("expr", gp.genFull, min_=0, max_=2)
        toolbox.register("mutate", gp.mutUniform, expr=toolbox.expr, pset=pset)
        toolbox.register("map", map_)
        population = [creator.Tree(gp.genHalfAndHalf(pset, min_=1, max_=3)) for _ in range(60)]
        best = tools.HallOfFame(1)
        for _ in evolve.generations(evolve.EaSimple(0.5, 0.1), toolbox, 6, population, halloffame=best):
            pass
        return str(best[0]), best[0].fitness.values

    assert run(cluster.map) == run(map)


def test_the_first_population_is_whole_when_the_loop_is_left(tmp_path):
    population = bits(8)
    given = list(population)
    found = steady(population, in_flight=2)
    next(found)
    found.close()
    assert same(population, given)
    assert [one.fitness.valid for one in population] == [True] + 7 * [False]
    for _ in steady(population, evaluations=5):
        pass
    assert same(population, given)
    population[3][:] = [1] * 20
    with pytest.raises(ValueError, match="too many"):
        list(steady(population, evaluate=three_are_too_many))
    assert same(population, given)
    list(steady(bits(7), checkpoint=tmp_path / "state"))
    with pytest.raises(HpcmlError, match="remove the file"):
        next(steady(population, checkpoint=tmp_path / "state"))
    assert same(population, given)


def test_an_evaluation_that_fails_names_its_individual_once(cluster):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(2) as threads:
        for executor in (None, threads, cluster):
            with pytest.raises(ValueError, match="too many") as caught:
                list(steady([creator.Bits([1] * 20)], executor, three_are_too_many))
            assert caught.value.__notes__[0].startswith("while evaluating the Bits [1, 1, 1, 1,")
            assert len([note for note in caught.value.__notes__ if "while evaluating" in note]) == 1


@pytest.mark.parametrize("returned", [3.0, None, (1.0, 2.0), ("a",), ()])
def test_a_value_that_can_be_no_fitness_is_shown_with_its_individual(returned):
    def evaluate(individual):
        return returned

    population = [creator.Bits([0, 1] * 200) for _ in range(4)]
    for loop in (
        evolve.generations(evolve.EaSimple(0.5, 0.2), bit_toolbox(evaluate=evaluate), 2, population),
        steady(population, evaluate=evaluate),
    ):
        with pytest.raises(TypeError) as caught:
            next(loop)
        text = str(caught.value)
        assert f"toolbox.evaluate returned {returned!r} for the Bits [0, 1, 0, " in text
        assert text.endswith("…: its FitnessMax takes a tuple of 1 number, as in `return height,`")
        assert len(text) < 400


def test_a_population_that_an_algorithm_cannot_take_is_refused_before_it_is_evaluated():
    toolbox = bit_toolbox(evaluate=evolution.refuse_all)
    for algorithm, number in ((evolve.Nsga2(0.9), 42), (evolve.DifferentialEvolution(), 3)):
        with pytest.raises(ValueError, match="four"):
            next(evolve.generations(algorithm, toolbox, 5, bits(number)))


def test_the_advice_on_short_calls_is_given_once(cluster, caplog, monkeypatch):
    from hpcml.cluster.map import granularity

    monkeypatch.setattr(granularity, "_spent", {})
    monkeypatch.setattr(granularity, "MIN_SPENT_SECONDS", 0.0)
    for _ in range(5):
        list(cluster.map(abs, range(200)))
    (record,) = caplog.records
    assert "calls of builtins.abs took" in record.getMessage()
    assert record.getMessage().endswith("Let each call do more, or use Python's own map")
    list(cluster.map(time.sleep, [0.02] * 60))
    assert len(caplog.records) == 1
