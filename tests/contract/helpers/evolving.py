"""Evolutions that the contract tests run, and their results."""

import random

import evolution
import numpy as np
from deap import base, cma, creator, tools
from evolution import count_ones, noisy_count

from hpcml import evolve


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
    """Return population, logbook and state of an evolution, to the last bit."""
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


class Pbil:
    """Distribution that learns, as in DEAP's example of PBIL."""

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


def run_some(place, algorithm, ngen):
    for last in evolve.generations(algorithm, bit_toolbox(), ngen, bits(), checkpoint=place):
        pass
    return last


def steady(population, executor=None, evaluate=count_ones, evaluations=20, **settings):
    from hpcml.cluster.serial import SerialCluster

    toolbox = bit_toolbox(evaluate=evaluate)
    return evolve.steady_state(toolbox, population, evaluations, executor or SerialCluster(), **settings)


def three_are_too_many(individual):
    if sum(individual) == 20:
        raise ValueError("too many")
    return (1.0,)


def same(one, other):
    return sorted(map(id, one)) == sorted(map(id, other))


def several_statistics():
    found = tools.MultiStatistics(fitness=statistics(), size=tools.Statistics(len))
    found["size"].register("mean", np.mean)
    return found


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
