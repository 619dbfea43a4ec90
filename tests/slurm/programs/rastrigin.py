"""CMA-ES on Rastrigin's function, its evaluations by SCOOP: python -m scoop rastrigin.py, or hpcml's engine scoop.

Prints where the evaluations were done, and the best value.
"""

import os
from collections import Counter

import numpy
import scoop
from deap import algorithms, base, benchmarks, cma, creator, tools
from scoop import futures

creator.create("FitnessMin", base.Fitness, weights=(-1.0,))
creator.create("Individual", list, fitness=creator.FitnessMin)


def where(number):
    sum(range(200_000))
    return os.uname().nodename, os.getpid(), len(os.sched_getaffinity(0)), os.environ.get("OMP_NUM_THREADS")


def search(evaluate_all, generations=20, size=5):
    """Return the least value found."""
    numpy.random.seed(128)
    strategy = cma.Strategy(centroid=[5.0] * size, sigma=5.0, lambda_=24)
    toolbox = base.Toolbox()
    toolbox.register("evaluate", benchmarks.rastrigin)
    toolbox.register("map", evaluate_all)
    toolbox.register("generate", strategy.generate, creator.Individual)
    toolbox.register("update", strategy.update)
    best = tools.HallOfFame(1)
    algorithms.eaGenerateUpdate(toolbox, ngen=generations, halloffame=best, verbose=False)
    return best[0].fitness.values[0]


def main():
    places = set(futures.map(where, range(20 * scoop.SIZE)))
    hosts = Counter(host for host, _, _, _ in places)
    print("size", scoop.SIZE, "workers", *(f"{host}={count}" for host, count in sorted(hosts.items())))
    print("threads", *{threads for _, _, _, threads in places}, "cpus", *{cpus for _, _, cpus, _ in places})
    print("same", search(futures.map) == search(map))


if __name__ == "__main__":
    main()
