"""The school's CMA-ES on Rastrigin's function, its evaluations by SCOOP.

hpcml run evolution_scoop.py 50          writes solutions_c50_n<workers>.json and conv.png
"""

import argparse
import json
import random
import time

import numpy as np
import scoop
from deap import algorithms, base, benchmarks, cma, creator, tools
from matplotlib import pyplot as plt
from scoop import futures

creator.create("FitnessMin", base.Fitness, weights=(-1.0,))
creator.create("Individual", list, fitness=creator.FitnessMin)
toolbox = base.Toolbox()
toolbox.register("map", futures.map)
toolbox.register("evaluate", benchmarks.rastrigin)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("dimensions", type=int)
    parser.add_argument("--generations", type=int, default=250)
    options = parser.parse_args()
    random.seed(1)
    np.random.seed(1)
    began = time.perf_counter()
    strategy = cma.Strategy(centroid=[5.0] * options.dimensions, sigma=5.0, lambda_=20 * options.dimensions)
    toolbox.register("generate", strategy.generate, creator.Individual)
    toolbox.register("update", strategy.update)
    best = tools.HallOfFame(1)
    stats = tools.Statistics(lambda one: one.fitness.values)
    for name, function in {"avg": np.mean, "std": np.std, "min": np.min, "max": np.max}.items():
        stats.register(name, function)
    _, logbook = algorithms.eaGenerateUpdate(toolbox, options.generations, best, stats, verbose=False)
    seconds = time.perf_counter() - began

    workers = scoop.SIZE if scoop.IS_RUNNING else 1
    results = {
        "solution": list(best[0]),
        "fit": best[0].fitness.values[0],
        "time": seconds,
        "cores": workers,
        "dimensions": options.dimensions,
    }
    with open(f"solutions_c{options.dimensions}_n{workers}.json", "w") as file:
        json.dump(results, file, indent=1)
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    axes.plot(logbook.select("gen"), logbook.select("min"), "k-", label="best")
    axes.plot(logbook.select("gen"), logbook.select("avg"), "--", color="grey", label="mean")
    axes.set(xlabel="generation", ylabel="height", yscale="log", title="CMA-ES on Rastrigin's function")
    axes.legend()
    figure.savefig("conv.png", dpi=100)
    print(f"lowest {best[0].fitness.values[0]:.6g}, {workers} workers, {seconds:.1f} s")


if __name__ == "__main__":
    main()
