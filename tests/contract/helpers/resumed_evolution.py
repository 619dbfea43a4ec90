"""Evolution with a checkpoint, which kills itself at the event in $KILL; see test_evolve_resumed.py.

``resumed_evolution.py simple|cma|swarm|islands|steady`` writes its result into ``outcome``.
"""

import os
import random
import signal
import sys

import evolution
import numpy as np
from deap import base, cma, creator, tools

from hpcml import evolve
from hpcml.cluster.serial import SerialCluster

NGEN = 9
what, _, when = os.environ.get("KILL", "nothing 0").partition(" ")
countdown = {what: int(when)}


def count(event):
    """End this process at the event's time."""
    if event in countdown:
        countdown[event] -= 1
        if not countdown[event] and "RAISE" in os.environ:
            raise RuntimeError("now")
        if not countdown[event]:
            os.kill(os.getpid(), signal.SIGKILL)


def evaluate(individual):
    count("evaluation")
    return (sum(x * x for x in individual) + 1e-3 * random.random(),)


def setup(mode, toolbox):
    creator.create("FitnessMin", base.Fitness, weights=(-1.0,))
    creator.create("Numbers", list, fitness=creator.FitnessMin, speed=list, best=None)
    population = [creator.Numbers(random.uniform(-3, 3) for _ in range(4)) for _ in range(40)]
    if mode == "cma":
        strategy = cma.Strategy(centroid=[3.0] * 4, sigma=2.0, lambda_=40)
        toolbox.register("generate", strategy.generate, creator.Numbers)
        toolbox.register("update", strategy.update)
        return evolve.EaGenerateUpdate(), []
    if mode == "swarm":
        for one in population:
            one.speed = [0.0] * 4
        toolbox.register("update", evolution.move)
        return evolve.ParticleSwarm(), population
    toolbox.register("mate", tools.cxTwoPoint)
    toolbox.register("mutate", tools.mutGaussian, mu=0, sigma=1, indpb=0.2)
    toolbox.register("select", tools.selTournament, tournsize=3)
    return evolve.EaSimple(0.6, 0.3), population


books = []  # the logbooks of the last generation


def by_generations(algorithm, toolbox, population, stats, best):
    for last in evolve.generations(
        algorithm, toolbox, NGEN, population, stats=stats, halloffame=best, checkpoint="state"
    ):
        books[:] = list(last.logbook)
        yield last.population


def by_islands(algorithm, toolbox, population, stats, best):
    populations = [population[first::3] for first in range(3)]
    settings = {"every": 1, "topology": "random", "stats": stats, "checkpoint": "state"}
    for epoch in evolve.islands(algorithm, toolbox, populations, NGEN, **settings):
        books[:] = [list(island.logbook) for island in epoch.islands]
        yield [one for island in epoch.populations for one in island]


def by_arrivals(algorithm, toolbox, population, stats, best):
    settings = {"in_flight": 4, "halloffame": best, "checkpoint": "state", "every": 5, "every_seconds": 0.0}
    for arrival in evolve.steady_state(toolbox, population, 203, SerialCluster(), **settings):
        books[:] = arrival.order
        yield arrival.population


RUNS = {"islands": by_islands, "steady": by_arrivals}


def main(mode):
    random.seed(11)
    np.random.seed(11)
    toolbox = base.Toolbox()
    toolbox.register("evaluate", evaluate)
    algorithm, population = setup(mode, toolbox)
    best, stats = tools.HallOfFame(2), tools.Statistics(lambda one: one.fitness.values)
    stats.register("mean", np.mean)
    replace = os.replace

    def replace_or_die(*args):
        count("write")
        replace(*args)

    os.replace = replace_or_die
    for evolved in RUNS.get(mode, by_generations)(algorithm, toolbox, population, stats, best):
        count("generation")
        random.random()  # the caller draws once for each generation, also in a run that was cut
    what = [(list(one), one.fitness.values) for one in evolved]
    found = [(list(one), one.fitness.values) for one in best]
    with open("outcome", "w") as file:
        file.write(repr((what, found, books, random.getstate(), np.random.get_state())))


if __name__ == "__main__":
    main(*sys.argv[1:])
