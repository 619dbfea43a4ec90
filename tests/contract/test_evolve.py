"""`hpcml.evolve` against DEAP's own functions, on one process and on a Cluster."""

import functools
import itertools
import os
import random
import signal
import subprocess
import sys
import threading
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
    np.random.seed(8)
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


def test_each_island_has_a_selection_with_a_memory_of_its_own(cluster):
    creator.create("Two", base.Fitness, weights=(-1.0, -1.0))
    creator.create("Numbers", list, fitness=creator.Two)

    def run(map_, number, every):
        random.seed(2)
        toolbox = real_toolbox(evolution.zdt1)
        memory = tools.selNSGA3WithMemory(tools.uniform_reference_points(2, 12))
        toolbox.register("select", memory)
        toolbox.register("map", map_)
        before = repr(vars(memory))
        populations = [numbers(creator.Numbers, 20, 6) for _ in range(3)][:number]
        settings = {"every": every, "migrants": 0, "seed": 5}
        *_, epoch = evolve.islands(evolve.Nsga3(1.0, 1.0), toolbox, populations, 8, **settings)
        assert repr(vars(memory)) == before
        return [[one.fitness.values for one in population] for population in epoch.populations]

    whole = run(map, 3, 8)
    assert [run(map, number, 8)[-1] for number in (1, 2, 3)] == whole
    assert run(map, 3, 2) == whole
    assert run(cluster.map, 3, 2) == whole


class Remembering:
    """A selection that has no memory before its first call."""

    def __call__(self, individuals, k):
        self.seen = [*getattr(self, "seen", []), len(individuals)]
        return tools.selBest(individuals, k)


def test_a_memory_that_an_island_begins_is_no_other_islands(cluster):
    random.seed(8)
    populations = [bits(20), bits(20)]
    for map_ in (map, cluster.map):
        toolbox = bit_toolbox()
        toolbox.register("select", selection := Remembering())
        toolbox.register("map", map_)
        *_, epoch = evolve.islands(evolve.EaSimple(0.5, 0.2), toolbox, populations, 4, every=2, seed=1)
        assert [island.selections for island in epoch.islands] == [[("Remembering", {"seen": [20] * 4})]] * 2
        assert not vars(selection)


def test_islands_share_a_selection_that_cannot_be_copied(tmp_path):
    class Locked:
        def __init__(self):
            self.lock, self.calls = threading.Lock(), 0

        def __call__(self, individuals, k):
            self.calls += 1
            return tools.selBest(individuals, k)

    random.seed(8)
    toolbox = bit_toolbox()
    locked = Locked()
    toolbox.register("select", locked)
    settings = {"every": 2, "seed": 1, "checkpoint": tmp_path / "state"}
    for _ in evolve.islands(evolve.EaSimple(0.5, 0.2), toolbox, [bits(20), bits(20)], 4, **settings):
        pass
    assert locked.calls == 2 * 4


def test_islands_do_not_copy_the_program_whose_methods_are_registered():
    """Its data would travel with each island, to and fro."""

    class Data:
        def __deepcopy__(self, memo):
            copied.append(self)
            return self

    class Program:
        def __init__(self):
            self.data = Data()

        def update(self, particle, best):
            return particle

    copied = []
    random.seed(8)
    toolbox = bit_toolbox()
    toolbox.register("update", Program().update)
    *_, epoch = evolve.islands(evolve.EaSimple(0.5, 0.2), toolbox, [bits(20), bits(20)], 4, every=2, seed=1)
    assert not copied
    assert not any(island.selections for island in epoch.islands)


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


@pytest.mark.parametrize("mode", ["simple", "cma", "swarm", "islands", "steady"])
def test_a_run_that_is_killed_and_resumed_ends_as_the_uncut_one(mode, tmp_path):
    """It is killed after a few generations, while it writes, and while it evaluates; and raises."""
    whole = tmp_path / "whole"
    whole.mkdir()
    assert evolve_program(whole, mode).returncode == 0
    expected = (whole / "outcome").read_bytes()
    cut = tmp_path / "cut"
    cut.mkdir()
    all_kinds = mode in ("simple", "steady")
    for kill in ("generation 2", "evaluation 70", "write 2", "write 1", "generation 1")[: 5 if all_kinds else 3]:
        done = evolve_program(cut, mode, KILL=kill)
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert not (cut / "outcome").exists()
    for kill in ("evaluation 30", "generation 1", "evaluation 90")[: 3 if all_kinds else 1]:
        done = evolve_program(cut, mode, KILL=kill, RAISE="1")
        assert "\nRuntimeError: now\n" in done.stderr
    done = evolve_program(cut, mode)
    assert done.returncode == 0, done.stderr
    assert "going on " in done.stderr
    assert (cut / "outcome").read_bytes() == expected
    assert (cut / "state").stat().st_mode & 0o777 == 0o600


def test_steady_state_goes_on_with_what_was_in_flight(cluster, tmp_path):
    """Left in the middle and gone on with, it is what its order gives in one piece."""
    from hpcml.serial import SerialCluster

    def run(executor, leave=1000, **settings):
        random.seed(6)
        population = bits(30)
        toolbox = bit_toolbox(evaluate=slow_ones)
        for arrival in evolve.steady_state(toolbox, population, 200, executor, in_flight=6, **settings):
            if len(arrival.order) == leave:
                return None
        return [(list(one), one.fitness.values) for one in population], list(arrival.individual), arrival.order

    file = {"checkpoint": tmp_path / "state", "every_seconds": 0.0}
    assert run(cluster, 80, **file) is run(cluster, 130, **file) is None
    ended = run(cluster, **file)
    assert sorted(ended[2]) == list(range(200))
    assert run(SerialCluster(), order=ended[2]) == ended
    assert run(cluster, **file) == ended  # it had come to its end


def test_the_checkpoint_of_other_islands_is_refused(tmp_path):
    def run(**settings):
        algorithm, populations = evolve.EaSimple(0.5, 0.2), [bits(), bits()]
        settings["checkpoint"] = tmp_path / "state"
        for epoch in evolve.islands(algorithm, bit_toolbox(), populations, 4, **settings):
            pass
        return epoch

    ended = run(every=2)
    assert run(every=2).populations == ended.populations
    with pytest.raises(HpcmlError, match="remove the file to begin anew"):
        run(every=3)


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


def test_a_checkpoint_is_written_as_often_as_asked_for_and_at_the_end(tmp_path, caplog):
    place = tmp_path / "state"

    def leave_in(number, **how_often):
        run = evolve.generations(
            evolve.EaSimple(0.5, 0.2), bit_toolbox(), 9, bits(), checkpoint=place, **how_often
        )
        for generation in run:
            if generation.number == number:
                return

    leave_in(8, every_seconds=1000)
    assert not place.exists()
    leave_in(8, every=3)  # of generations 0 to 7, which are complete, 2 and 5 are kept
    leave_in(8, every=3)
    assert "going on from generation 5" in caplog.text
    leave_in(None, every_seconds=1000)
    leave_in(None)
    assert "going on from generation 9" in caplog.text


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


# ---- what a checkpoint holds


class Slotted:
    """A distribution that learns, without a dictionary."""

    __slots__ = ("chances",)
    __init__, generate, update = Pbil.__init__, Pbil.generate, Pbil.update


def counted(function):
    @functools.wraps(function)
    def wrapper(*args):
        return function(*args)

    return wrapper


def register_strategy(toolbox, how):
    strategy = Slotted(20) if how == "slots" else Pbil(20)
    if how == "lambda":
        toolbox.register("generate", lambda: strategy.generate(creator.Bits))
        toolbox.register("update", lambda population: (strategy.update(population),))
        return
    toolbox.register("generate", strategy.generate, creator.Bits)
    toolbox.register("update", strategy.update)
    if how == "decorated":
        for name in ("generate", "update"):
            toolbox.decorate(name, counted, counted)


def run_strategy(how, place, leave=None):
    random.seed(3)
    toolbox = bit_toolbox()
    register_strategy(toolbox, how)
    found = evolve.generations(evolve.EaGenerateUpdate(), toolbox, 9, checkpoint=place, stats=statistics())
    for last in found:
        if last.number == leave:
            return None
    return [list(one) for one in last.population], list(last.logbook), random.getstate()


@pytest.mark.parametrize("how", ["bound", "decorated", "slots"])
def test_a_strategy_goes_on_from_a_checkpoint_however_it_is_registered(how, tmp_path):
    expected = run_strategy(how, tmp_path / "whole")
    assert run_strategy(how, tmp_path / "cut", 4) is None
    assert run_strategy(how, tmp_path / "cut") == expected


def test_a_strategy_that_cannot_be_found_is_refused_where_there_is_a_checkpoint(tmp_path):
    with pytest.raises(ValueError, match="register its bound methods"):
        run_strategy("lambda", tmp_path / "state")
    run_strategy("lambda", None)


def test_a_checkpoint_with_other_strategies_is_refused(tmp_path):
    run_strategy("bound", tmp_path / "state", 3)
    with pytest.raises(HpcmlError, match="holds the state of Pbil.*belong to Slotted"):
        run_strategy("slots", tmp_path / "state")


@pytest.mark.parametrize("kind", ["generations", "steady"])
def test_the_memory_of_a_selection_goes_on_from_a_checkpoint(kind, tmp_path):
    creator.create("Two", base.Fitness, weights=(-1.0, -1.0))
    creator.create("Numbers", list, fitness=creator.Two)
    from hpcml.serial import SerialCluster

    def run(place, leave=None):
        random.seed(2)
        np.random.seed(2)
        toolbox = real_toolbox(evolution.zdt1)
        toolbox.register("select", tools.selNSGA3WithMemory(tools.uniform_reference_points(2, 12)))
        population = numbers(creator.Numbers, 20, 6)
        if kind == "steady":
            found = evolve.steady_state(
                toolbox, population, 60, SerialCluster(), checkpoint=place, every_seconds=0.0
            )
        else:
            found = evolve.generations(evolve.Nsga3(1.0, 1.0), toolbox, 9, population, checkpoint=place)
        for count, last in enumerate(found):
            if count == leave:
                return None
        memory = toolbox.select.func
        return [one.fitness.values for one in population], repr(vars(memory))

    expected = run(tmp_path / "whole")
    assert run(tmp_path / "cut", 5 if kind == "generations" else 40) is None
    assert run(tmp_path / "cut") == expected


class Program:
    """Something that no checkpoint can hold, with a method that selects."""

    def __init__(self):
        self.lock = threading.Lock()

    def select(self, individuals, k):
        return tools.selTournament(individuals, k, tournsize=3)


def test_a_selection_may_be_a_method_of_the_program(tmp_path):
    toolbox = bit_toolbox()
    toolbox.register("select", Program().select)
    for ngen in (2, 4):
        run = evolve.generations(
            evolve.EaSimple(0.5, 0.2), toolbox, ngen, bits(8), checkpoint=tmp_path / "state"
        )
        assert [one.number for one in run][-1] == ngen


SCRIPT = """
import random, sys
from deap import base, creator, gp, tools
from hpcml import evolve

class Genome(list):
    def __init__(self, content=()):
        super().__init__(content)
        self.fitness = creator.Fit()

class Own(list):
    pass

pset = gp.PrimitiveSet("MAIN", 1)
pset.addPrimitive(lambda a, b: a + b, 2, name="add")
pset.addTerminal(1)
creator.create("Fit", base.Fitness, weights=(float(sys.argv[2]),))
creator.create("Made", Own, fitness=creator.Fit, pset=pset, limits=(0, 1), names={"b", "a", "long one"})
kind = {"plain": Genome, "made": creator.Made}[sys.argv[1]]
random.seed(1)
toolbox = base.Toolbox()
toolbox.register("evaluate", lambda one: (sum(one),))
toolbox.register("mate", tools.cxTwoPoint)
toolbox.register("mutate", tools.mutFlipBit, indpb=0.05)
toolbox.register("select", tools.selTournament, tournsize=3)
population = [kind(random.choices((0, 1), k=9)) for _ in range(12)]
for one in population:
    one.note = lambda: None  # only cloudpickle can
best = tools.HallOfFame(1)
for last in evolve.generations(
    evolve.EaSimple(0.5, 0.2), toolbox, int(sys.argv[3]), population, halloffame=best, checkpoint="state"
):
    pass
assert all(isinstance(one, (Own, Genome)) and type(one) is kind for one in [*population, *best])
assert {type(one.fitness) for one in population} == {creator.Fit}
"""


def run_script(place, *arguments):
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments],
        cwd=place,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("kind", ["plain", "made"])
def test_classes_of_the_script_stay_its_own_after_resuming(kind, tmp_path):
    for ngen in ("2", "4"):
        done = run_script(tmp_path, kind, "1.0", ngen)
        assert done.returncode == 0, done.stderr
    assert "going on from generation 2" in done.stderr
    done = run_script(tmp_path, kind, "-1.0", "6")
    assert "HpcmlError" in done.stderr
    assert "creator.Fit is not what it was when this was written, Fitness, weights=(1.0,)" in done.stderr


# ---- what is refused, and what is left as it was


def steady(population, executor=None, evaluate=count_ones, evaluations=20, **settings):
    from hpcml.serial import SerialCluster

    toolbox = bit_toolbox(evaluate=evaluate)
    return evolve.steady_state(toolbox, population, evaluations, executor or SerialCluster(), **settings)


@pytest.mark.parametrize("settings", [{"in_flight": 0}, {"in_flight": -1}, {"evaluations": 0}, {}])
def test_a_steady_state_that_could_never_end_is_refused(settings):
    population = bits(8) if settings else []
    with pytest.raises(ValueError, match="each must be 1 or more"):
        next(steady(population, **settings))
    assert len(population) == (8 if settings else 0)


def three_are_too_many(individual):
    if sum(individual) == 20:
        raise ValueError("too many")
    return (1.0,)


def same(one, other):
    return sorted(map(id, one)) == sorted(map(id, other))


def test_a_steady_state_that_had_ended_goes_on_where_more_are_wanted(tmp_path):
    def run(evaluations, in_flight):
        random.seed(1)
        settings = {"in_flight": in_flight, "checkpoint": tmp_path / "state", "every_seconds": 0.0}
        *_, last = steady(bits(8), evaluations=evaluations, **settings)
        return last.order

    assert run(5, 2) == list(range(5))
    assert run(20, 2) == list(range(20))
    assert sorted(run(40, 4)) == list(range(40))


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
def test_what_can_be_no_fitness_is_shown_with_its_individual(returned):
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


@pytest.mark.parametrize("kind", ["generations", "islands", "steady"])
def test_a_checkpoint_is_free_again_when_its_loop_is_left(kind, tmp_path):
    place = tmp_path / "state"

    def run():
        if kind == "islands":
            return evolve.islands(
                evolve.EaSimple(0.5, 0.2), bit_toolbox(), [bits(8), bits(8)], 9, every=3, checkpoint=place
            )
        if kind == "steady":
            return steady(bits(8), checkpoint=place, every_seconds=0.0)
        return evolve.generations(evolve.EaSimple(0.5, 0.2), bit_toolbox(), 9, bits(8), checkpoint=place)

    for _ in range(2):
        for count, _last in enumerate(run()):
            if count == 1:
                break
    held = run()
    next(held)
    with pytest.raises(HpcmlError, match="is at work with the checkpoint"):
        next(run())
    held.close()
    with pytest.raises(RuntimeError, match="now"):
        for _last in run():
            raise RuntimeError("now")
    list(run())


def test_a_place_that_cannot_be_written_is_known_before_anything_is_evaluated(tmp_path):
    toolbox = bit_toolbox(evaluate=evolution.refuse_all)
    with pytest.raises(HpcmlError, match="there is no directory"):
        next(evolve.generations(evolve.EaSimple(0.5, 0.2), toolbox, 9, bits(8), checkpoint=tmp_path / "no/state"))


def several_statistics():
    found = tools.MultiStatistics(fitness=statistics(), size=tools.Statistics(len))
    found["size"].register("mean", np.mean)
    return found


def test_the_logbooks_of_islands_have_all_chapters(tmp_path):
    for epoch in evolve.islands(
        evolve.EaSimple(0.5, 0.2), bit_toolbox(), [bits(8)], 7, every=3, migrants=0, stats=several_statistics()
    ):
        pass
    book = epoch.islands[0].logbook
    assert book.select("gen") == list(range(8))
    for name, column in (("fitness", "best"), ("size", "mean")):
        assert book.chapters[name].select("gen") == list(range(8))
        assert None not in book.chapters[name].select(column)
    assert len(str(book).splitlines()) == 8 + 3
    with pytest.raises(ValueError, match=r'logbook.chapters\["fitness"\]'):
        evolve.plot_convergence(book, tmp_path / "all.svg")
    evolve.plot_convergence(book.chapters["fitness"], tmp_path / "fitness.svg")


def test_islands_leave_the_populations_as_they_were(cluster):
    def run(map_, seed):
        random.seed(1)
        populations = [bits(8), bits(8)]
        given = [[(id(one), list(one)) for one in population] for population in populations]
        random.seed(seed)
        np.random.seed(1)
        epochs = list(
            evolve.islands(evolve.EaSimple(0.5, 0.2), bit_toolbox(map_), populations, 4, every=2, migrants=0)
        )
        assert given == [[(id(one), list(one)) for one in population] for population in populations]
        assert not any(one.fitness.valid for population in populations for one in population)
        return repr([epoch.populations for epoch in epochs])

    assert run(map, 1) == run(cluster.map, 1)
    assert run(map, 1) != run(map, 2)


@pytest.mark.parametrize("settings", [{"every": 0}, {"every": -2}, {"migrants": -1}])
def test_epochs_of_no_generations_are_refused(settings):
    with pytest.raises(ValueError, match="an epoch of 1 generation or more"):
        next(evolve.islands(evolve.EaSimple(0.5, 0.2), bit_toolbox(), [bits(8)], 4, **settings))


def test_a_population_that_an_algorithm_cannot_take_is_refused_before_it_is_evaluated():
    toolbox = bit_toolbox(evaluate=evolution.refuse_all)
    for algorithm, number in ((evolve.Nsga2(0.9), 42), (evolve.DifferentialEvolution(), 3)):
        with pytest.raises(ValueError, match="four"):
            next(evolve.generations(algorithm, toolbox, 5, bits(number)))


# ---- going on with something else


@pytest.mark.parametrize("kind", ["generations", "steady"])
def test_the_best_so_far_stay_the_best_in_another_hall_of_fame(kind, tmp_path):
    def run(best, more):
        random.seed(1)
        if kind == "steady":
            found = steady(bits(8), evaluations=20 + more, halloffame=best, checkpoint=tmp_path / "state")
        else:
            algorithm = evolve.EaSimple(0.5, 0.2)
            found = evolve.generations(
                algorithm, bit_toolbox(), 5 + more, bits(8), halloffame=best, checkpoint=tmp_path / "state"
            )
        *_, last = found
        return last.population

    population = run(None, 0)
    first = tools.HallOfFame(3)
    run(first, 0)
    assert first[0].fitness == max(one.fitness for one in population)
    first = tools.HallOfFame(3)
    run(first, 1)
    for other in (tools.HallOfFame(2), tools.ParetoFront(), tools.HallOfFame(5), tools.HallOfFame(3)):
        size = other.maxsize
        run(other, 1)
        assert other[0].fitness == first[0].fitness
        assert all(list(one) in list(map(list, first)) for one in other)
        assert other.maxsize == size
        assert size is None or len(other) == min(size, len(first))


@pytest.mark.parametrize(("before", "after"), [(True, False), (False, True)])
def test_streams_are_as_they_are_asked_for(before, after, tmp_path):
    kinds = []

    def watched(function, *iterables):
        kinds.append(len(iterables) == 2)  # with a number for each: the stream's
        return map(function, *iterables)

    for number, streams in enumerate((before, after, after)):
        run = evolve.generations(
            evolve.EaSimple(0.5, 0.2),
            bit_toolbox(watched),
            2 + number,
            bits(8),
            checkpoint=tmp_path / "state",
            streams=streams,
        )
        assert [last.number for last in run][-1] == 2 + number
    assert kinds == [before] * 3 + [after] * 2


def test_a_population_of_another_size_is_refused(tmp_path):
    def run(number, ngen):
        random.seed(1)
        algorithm = evolve.EaMuPlusLambda(10, 20, 0.5, 0.2)
        found = evolve.generations(algorithm, bit_toolbox(), ngen, bits(number), checkpoint=tmp_path / "state")
        return [len(one.population) for one in found]

    assert run(16, 2) == [16, 10, 10]
    with pytest.raises(HpcmlError, match="began with 16 individuals, and this population has 10"):
        run(10, 4)
    assert run(16, 3) == [10]
    assert run(0, 4) == [10]
    assert run(16, 5) == [10]


def test_short_calls_are_told_of_once(cluster, caplog, monkeypatch):
    from hpcml import granularity

    monkeypatch.setattr(granularity, "_spent", {})
    monkeypatch.setattr(granularity, "WORTH_SAYING", 0.0)
    for _ in range(5):
        list(cluster.map(abs, range(200)))
    (record,) = caplog.records
    assert "calls of builtins.abs took" in record.getMessage()
    assert record.getMessage().endswith("Let each call do more, or use Python's own map")
    list(cluster.map(time.sleep, [0.02] * 60))
    assert len(caplog.records) == 1
