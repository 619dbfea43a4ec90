"""Evolutions with short evaluations: the time of one process with Python's own map, over that of the Cluster.

school    CMA-ES of the school's practical: 200 individuals of ten numpy.float64, rastrigin, 10 to 20 us each
scoop     the same through scoop.futures.map
arrays    eaSimple, 300 individuals that are arrays of 30 numbers, 50 us each
trees     eaSimple, 300 trees of about 30 nodes, compiled and evaluated at 20 points

All of the loop counts, selection and variation too. Serial and Cluster take turns, and each has the median of
its runs. Run by ``run``.
"""

import importlib
import json
import operator
import random
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy
from deap import algorithms, base, benchmarks, cma, creator, gp, tools
from fitness import busy_50us, fit_of_tree

from hpcml.scoop_programs import futures

TURNS = 3


def school(map_: Any) -> None:
    numpy.random.seed(128)
    toolbox = base.Toolbox()
    strategy = cma.Strategy(centroid=[5.0] * 10, sigma=5.0, lambda_=200)
    toolbox.register("evaluate", benchmarks.rastrigin)
    toolbox.register("generate", strategy.generate, creator.Floats)
    toolbox.register("update", strategy.update)
    toolbox.register("map", map_)
    algorithms.eaGenerateUpdate(toolbox, ngen=100, halloffame=tools.HallOfFame(1), verbose=False)


def arrays(map_: Any) -> None:
    random.seed(1)
    numpy.random.seed(1)
    toolbox = base.Toolbox()
    toolbox.register("evaluate", busy_50us)
    toolbox.register("mate", swap)
    toolbox.register("mutate", shift)
    toolbox.register("select", tools.selTournament, tournsize=3)
    toolbox.register("map", map_)
    people = [creator.Vector(numpy.random.rand(30)) for _ in range(300)]
    algorithms.eaSimple(people, toolbox, 0.7, 0.5, 20, verbose=False)


def swap(one: Any, other: Any) -> tuple[Any, Any]:
    one[:15], other[:15] = other[:15].copy(), one[:15].copy()
    return one, other


def shift(one: Any) -> tuple[Any]:
    one += numpy.random.rand(30) - 0.5
    return (one,)


def primitives() -> gp.PrimitiveSet:
    found = gp.PrimitiveSet("MAIN", 1)
    for function, arity in ((operator.add, 2), (operator.sub, 2), (operator.mul, 2), (operator.neg, 1)):
        found.addPrimitive(function, arity)
    found.addTerminal(1)
    return found


def trees(map_: Any) -> None:
    random.seed(1)
    toolbox, known = base.Toolbox(), primitives()
    toolbox.register("expr", gp.genFull, pset=known, min_=4, max_=4)
    toolbox.register("individual", tools.initIterate, creator.Tree, toolbox.expr)
    toolbox.register("compile", gp.compile, pset=known)
    toolbox.register("evaluate", fit_of_tree, compiled=toolbox.compile)
    toolbox.register("select", tools.selTournament, tournsize=3)
    toolbox.register("mate", gp.cxOnePoint)
    toolbox.register("mutate", gp.mutNodeReplacement, pset=known)
    toolbox.register("map", map_)
    people = [toolbox.individual() for _ in range(300)]
    algorithms.eaSimple(people, toolbox, 0.5, 0.1, 8, verbose=False)


def seconds(evolve: Callable[[Any], None], map_: Any) -> float:
    began = time.perf_counter()
    evolve(map_)
    return time.perf_counter() - began


def quotient(evolve: Callable[[Any], None], map_: Any) -> float:
    evolve(map_)  # the first call is not measured
    turns = [(seconds(evolve, map), seconds(evolve, map_)) for _ in range(TURNS)]
    serial, ours = zip(*turns, strict=True)
    return statistics.median(serial) / statistics.median(ours)


def main(name: str, slots: int, measures: list[str]) -> None:
    creator.create("Least", base.Fitness, weights=(-1.0,))
    creator.create("Floats", list, fitness=creator.Least)
    creator.create("Vector", numpy.ndarray, fitness=creator.Least)
    creator.create("Tree", gp.PrimitiveTree, fitness=creator.Least)
    with importlib.import_module(f"{name}_pool").open_pool(slots) as pool:
        maps = {"scoop": (school, futures.map), "school": (school, pool.cluster.map)}
        maps |= {"arrays": (arrays, pool.cluster.map), "trees": (trees, pool.cluster.map)}
        found = {measure: quotient(*maps[measure.split("_")[0]]) for measure in measures}
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
