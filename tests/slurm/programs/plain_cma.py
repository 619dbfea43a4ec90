"""Result of tutorials/original/evolution.py by DEAP's own loop: ``plain_cma.py DIMENSIONS GENERATIONS``."""

import random
import sys

import numpy as np
from deap import algorithms, base, benchmarks, cma, creator, tools

dimensions, generations = map(int, sys.argv[1:])
creator.create("Lowest", base.Fitness, weights=(-1.0,))
creator.create("Point", list, fitness=creator.Lowest)
random.seed(1)
np.random.seed(1)
strategy = cma.Strategy([5.0] * dimensions, sigma=5.0, lambda_=20 * dimensions)
toolbox = base.Toolbox()
toolbox.register("generate", strategy.generate, creator.Point)
toolbox.register("update", strategy.update)
toolbox.register("evaluate", benchmarks.rastrigin)
best = tools.HallOfFame(1)
algorithms.eaGenerateUpdate(toolbox, generations, best, verbose=False)
print(f"lowest           {best[0].fitness.values[0]:.6g}")
