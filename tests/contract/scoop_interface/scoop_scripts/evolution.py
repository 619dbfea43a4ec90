"""DEAP programs for SCOOP: islands whose tasks hold the toolbox and its map, coevolution, CMA-ES.

``python evolution.py serial`` runs them with the builtin map.
"""

import array
import functools
import json
import random
import sys

import numpy
from deap import algorithms, base, cma, creator, tools

if sys.argv[1:] == ["serial"]:
    the_map = map
else:
    from scoop import futures

    the_map = futures.map


def counted(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


@counted
def ones(individual):
    return (sum(individual),)


def rastrigin(individual):
    return (sum(x * x - 10 * numpy.cos(2 * numpy.pi * x) + 10 for x in individual),)


def beats(left, right):
    return (sum(a > b for a, b in zip(left, right, strict=True)),)


def evolve(toolbox, seed, population):
    """Evolve one island for some generations, as a task whose evaluations are tasks."""
    random.seed(seed)
    return algorithms.eaSimple(population, toolbox, cxpb=0.5, mutpb=0.2, ngen=3, verbose=False)[0]


def islands():
    toolbox = base.Toolbox()
    toolbox.register("bit", random.randint, 0, 1)
    toolbox.register("individual", tools.initRepeat, creator.Bits, toolbox.bit, 30)
    toolbox.register("population", tools.initRepeat, list, toolbox.individual)
    toolbox.register("evaluate", ones)
    toolbox.register("mate", tools.cxTwoPoint)
    toolbox.register("mutate", tools.mutFlipBit, indpb=0.05)
    toolbox.register("select", tools.selTournament, tournsize=3)
    toolbox.register("map", the_map)
    random.seed(64)
    isles = [toolbox.population(n=20) for _ in range(3)]
    toolbox.register("evolve", evolve, toolbox)
    for epoch in range(3):
        isles = list(toolbox.map(toolbox.evolve, range(3 * epoch, 3 * epoch + 3), isles))
        tools.migRing(isles, 4, tools.selBest)
    return [[list(individual) for individual in isle] for isle in isles]


def coevolution():
    toolbox = base.Toolbox()
    toolbox.register("map", the_map)
    toolbox.register("evaluate", beats)
    random.seed(5)
    hosts, parasites = ([[random.random() for _ in range(6)] for _ in range(8)] for _ in range(2))
    return list(toolbox.map(toolbox.evaluate, hosts, parasites))


def strategy():
    numpy.random.seed(128)
    toolbox = base.Toolbox()
    evolution = cma.Strategy(centroid=[5.0] * 4, sigma=5.0, lambda_=12)
    toolbox.register("generate", evolution.generate, creator.Point)
    toolbox.register("update", evolution.update)
    toolbox.register("evaluate", rastrigin)
    toolbox.register("map", the_map)
    best = tools.HallOfFame(1)
    stats = tools.Statistics(lambda individual: individual.fitness.values)
    stats.register("min", numpy.min)
    _, log = algorithms.eaGenerateUpdate(toolbox, ngen=6, stats=stats, halloffame=best, verbose=False)
    return [list(map(float, best[0])), [float(low) for low in log.select("min")]]


if __name__ == "__main__":
    creator.create("Most", base.Fitness, weights=(1.0,))
    creator.create("Least", base.Fitness, weights=(-1.0,))
    creator.create("Bits", array.array, typecode="b", fitness=creator.Most)
    creator.create("Point", list, fitness=creator.Least)
    print(json.dumps([islands(), coevolution(), strategy()]))
