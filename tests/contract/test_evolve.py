"""`hpcml.evolve` against DEAP's own functions, on one process and on a Cluster."""

import itertools
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import evolution
import numpy as np
import pytest
from deap import algorithms, base, cma, creator, gp, tools
from evolution import count_ones, make_creator, noisy_count, slow_ones

from hpcml import evolve
from hpcml.errors import HpcmlError
from hpcml.payload import dumps_result

PROGRAM = Path(__file__).parent / "resumed_evolution.py"


@pytest.fixture(autouse=True)
def classes():
    make_creator()


def bit_toolbox(map_=map, evaluate=count_ones):
    toolbox = base.Toolbox()
    toolbox.register("evaluate", evaluate)
    toolbox.register("mate", tools.cxTwoPoint)
    toolbox.register("mutate", tools.mutFlipBit, indpb=0.05)
    toolbox.register("select", tools.selTournament, tournsize=3)
    toolbox.register("map", map_)
    return toolbox


def bits(number=60):
    return [creator.Bits(random.choices((0, 1), k=20)) for _ in range(number)]


def statistics():
    found = tools.Statistics(lambda one: one.fitness.values)
    found.register("mean", np.mean)
    found.register("best", np.max)
    return found


def outcome(population, logbook, halloffame):
    """Return all that an evolution ends with, to the last bit."""
    return repr(
        (
            [(list(one), one.fitness.values) for one in population],
            list(logbook),
            [(list(one), one.fitness.values) for one in halloffame],
            random.getstate(),
            repr(np.random.get_state()),
        )
    )


def run_ours(algorithm, toolbox, ngen, population, seed=4, **settings):
    random.seed(seed)
    np.random.seed(seed)
    population = bits() if population is None else population
    best = tools.HallOfFame(3)
    for last in evolve.generations(
        algorithm, toolbox, ngen, population, stats=statistics(), halloffame=best, **settings
    ):
        pass
    return outcome(last.population, last.logbook, best)


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


class Pbil:
    """A distribution that learns, as in DEAP's example of PBIL."""

    def __init__(self, length):
        self.chances = [0.5] * length

    def generate(self, kind):
        return [kind(int(random.random() < chance) for chance in self.chances) for _ in range(30)]

    def update(self, population):
        best = max(population, key=lambda one: one.fitness)
        self.chances = [0.9 * old + 0.1 * new for old, new in zip(self.chances, best, strict=True)]


def strategy_toolbox(kind, map_=map):
    toolbox = base.Toolbox()
    if kind == "cma":
        strategy = cma.Strategy(centroid=[5.0] * 4, sigma=3.0, lambda_=24)
        toolbox.register("generate", strategy.generate, creator.Numbers)
        toolbox.register("evaluate", evolution.rastrigin)
    else:
        strategy = Pbil(20)
        toolbox.register("generate", strategy.generate, creator.Bits)
        toolbox.register("evaluate", count_ones)
    toolbox.register("update", strategy.update)
    toolbox.register("map", map_)
    return toolbox


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


def test_a_loop_that_is_left_has_what_it_has():
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


# ---- algorithms that DEAP has as examples


def real_toolbox(evaluate, map_=map):
    toolbox = base.Toolbox()
    toolbox.register("evaluate", evaluate)
    bounds = {"low": 0.0, "up": 1.0, "eta": 20.0}
    toolbox.register("mate", tools.cxSimulatedBinaryBounded, **bounds)
    toolbox.register("mutate", tools.mutPolynomialBounded, indpb=0.1, **bounds)
    toolbox.register("map", map_)
    return toolbox


def numbers(kind, number, length):
    return [kind(random.random() for _ in range(length)) for _ in range(number)]


@pytest.mark.parametrize("kind", ["nsga2", "nsga3"])
def test_many_objectives(kind, cluster):
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


def test_genetic_programming_with_a_hall_of_fame(cluster):
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


# ---- without generations


def test_steady_state_can_be_repeated_by_its_order(cluster):
    def run(executor, order=None):
        random.seed(6)
        best = tools.HallOfFame(1)
        population = bits(30)
        for arrival in evolve.steady_state(
            bit_toolbox(evaluate=slow_ones), population, 200, executor, in_flight=6, halloffame=best, order=order
        ):
            pass
        assert len(population) == 30
        return [list(one) for one in population], best[0], arrival.order

    first = run(cluster)
    assert sorted(first[2]) == list(range(200))
    assert run(cluster, first[2]) == first
    from hpcml.serial import SerialCluster

    assert run(SerialCluster(), first[2]) == first
    with pytest.raises(ValueError, match="order is of another"):
        run(cluster, list(reversed(range(200))))


def test_steady_state_waits_for_nobody(cluster):
    """The first individual takes long: meanwhile others arrive, and have offspring that arrive."""
    random.seed(6)
    population = [creator.Bits([0] * 20), *(creator.Bits([1] * 20) for _ in range(11))]
    toolbox = bit_toolbox(evaluate=evolution.slow_zeros)
    for arrival in evolve.steady_state(toolbox, population, 60, cluster):
        pass
    assert arrival.order.index(0) > 2 * 12


def test_an_evaluation_that_fails_ends_it(cluster):
    with pytest.raises(ValueError, match="three"):
        for _ in evolve.steady_state(
            bit_toolbox(evaluate=evolution.refuse), [creator.Bits([1, 1, 1]) for _ in range(8)], 20, cluster
        ):
            pass


# ---- islands


def archipelago(map_, topology, **settings):
    random.seed(8)
    toolbox = bit_toolbox(map_, noisy_count)
    populations = [bits(20) for _ in range(4)]
    for epoch in evolve.islands(
        evolve.EaSimple(0.5, 0.2),
        toolbox,
        populations,
        12,
        every=5,
        topology=topology,
        stats=statistics(),
        **settings,
    ):
        pass
    return repr((epoch.populations, [list(island.logbook) for island in epoch.islands], random.getstate()))


@pytest.mark.parametrize("topology", ["ring", "random"])
def test_islands_are_the_same_as_tasks_and_in_one_process(cluster, topology):
    found = archipelago(cluster.map, topology)
    assert found == archipelago(map, topology)
    assert found != archipelago(map, topology, seed=1)
    assert found != archipelago(map, topology, migrants=0)


def test_islands_are_the_same_on_ranks_of_mpi(tmp_path):
    program = Path(__file__).parent / "ranks.py"
    argv = ["mpiexec", "--allow-run-as-root", "--oversubscribe", "-n", "3", sys.executable, program, tmp_path]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    found = [(tmp_path / f"rank-{rank}").read_text() for rank in range(3)]
    assert found == [archipelago(map, "ring")] * 3


def test_an_island_is_that_of_generations():
    """Without migrants, each is one evolution of 12 generations."""
    random.seed(8)
    populations = [bits(20)]
    toolbox = bit_toolbox()
    for epoch in evolve.islands(evolve.EaSimple(0.5, 0.2), toolbox, populations, 12, every=5, migrants=0):
        pass
    assert epoch.islands[0].logbook.select("gen") == list(range(13))
    assert epoch.number == 3


def test_topologies_and_strategies_that_are_not_there():
    with pytest.raises(ValueError, match="'ring' and 'random'"):
        next(evolve.islands(evolve.EaSimple(0.5, 0.2), bit_toolbox(), [bits()], 1, topology="star"))
    with pytest.raises(ValueError, match="no population to migrate"):
        next(evolve.islands(evolve.EaGenerateUpdate(), bit_toolbox(), [bits()], 1))


# ---- checkpoints


def evolve_program(place, mode, **environment):
    return subprocess.run(
        [sys.executable, PROGRAM, mode],
        cwd=place,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("mode", ["simple", "cma", "swarm"])
def test_a_run_that_is_killed_and_resumed_ends_as_the_uncut_one(mode, tmp_path):
    """It is killed after a few generations, while it writes, and while it evaluates; and raises."""
    whole = tmp_path / "whole"
    whole.mkdir()
    assert evolve_program(whole, mode).returncode == 0
    expected = (whole / "outcome").read_bytes()
    cut = tmp_path / "cut"
    cut.mkdir()
    for kill in ("generation 2", "write 2", "evaluation 70", "write 1", "generation 1"):
        done = evolve_program(cut, mode, KILL=kill)
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert not (cut / "outcome").exists()
    for kill in ("evaluation 30", "generation 1", "evaluation 90"):
        done = evolve_program(cut, mode, KILL=kill, RAISE="1")
        assert done.stderr.rstrip().endswith("RuntimeError: now")
    done = evolve_program(cut, mode)
    assert done.returncode == 0, done.stderr
    assert "going on from generation" in done.stderr
    assert (cut / "outcome").read_bytes() == expected
    assert (cut / "state").stat().st_mode & 0o777 == 0o600


def run_some(place, algorithm, ngen):
    for last in evolve.generations(algorithm, bit_toolbox(), ngen, bits(), checkpoint=place):
        pass
    return last


def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path, caplog):
    place = tmp_path / "state"
    run_some(place, evolve.EaSimple(0.5, 0.2), 5)
    content = bytearray(place.read_bytes())
    content[-1] ^= 1
    place.write_bytes(content)
    assert run_some(place, evolve.EaSimple(0.5, 0.2), 8).number == 8
    assert "damaged" in caplog.text
    assert "going on from generation" in caplog.text


def test_the_checkpoint_of_another_algorithm_is_refused(tmp_path):
    run_some(tmp_path / "state", evolve.EaSimple(0.5, 0.2), 2)
    with pytest.raises(HpcmlError, match=r"EaSimple\(cxpb=0.5.*EaSimple\(cxpb=0.6"):
        run_some(tmp_path / "state", evolve.EaSimple(0.6, 0.2), 2)


def test_a_checkpoint_that_others_can_read_is_refused(tmp_path):
    run_some(tmp_path / "state", evolve.EaSimple(0.5, 0.2), 2)
    (tmp_path / "state").chmod(0o644)
    with pytest.raises(HpcmlError, match="chmod"):
        run_some(tmp_path / "state", evolve.EaSimple(0.5, 0.2), 2)


def test_classes_stay_the_scripts_own_after_resuming(tmp_path):
    run_some(tmp_path / "state", evolve.EaSimple(0.5, 0.2), 2)
    last = run_some(tmp_path / "state", evolve.EaSimple(0.5, 0.2), 3)
    assert {type(one) for one in last.population} == {creator.Bits}
    assert len(dumps_result(last.population)) < 60 * 200


def test_short_evaluations_are_told_of_once(cluster, caplog, monkeypatch):
    from hpcml import granularity

    monkeypatch.setattr(granularity, "_spent", {})
    monkeypatch.setattr(granularity, "WORTH_SAYING", 0.0)
    for _ in range(5):
        list(cluster.map(count_ones, bits(200)))
    (record,) = caplog.records
    assert "calls of evolution.count_ones took" in record.getMessage()
    list(cluster.map(time.sleep, [0.02] * 60))
    assert len(caplog.records) == 1
