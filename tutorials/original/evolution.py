"""The school's evolution with hpcml: the lowest point of a landscape full of valleys.

    python tutorials/original/evolution.py          # on this computer
    sbatch sbatch/deap.sbatch                       # the same file on every node of a Slurm job

CMA-ES moves a cloud of points over Rastrigin's function; each point is evaluated by itself. Questions: how long
does one generation take, on how many slots half as long, and what happens when an evaluation takes 10 us (--ms 0)?
Kill the job and submit it again: it continues from its checkpoint. (HPC School of the University of Luxembourg,
"DEAP".)
"""

import argparse
import random
import time

import numpy as np
from deap import base, benchmarks, cma, creator, tools

import hpcml
from hpcml import evolve


def measure(point: list[float], seconds: float) -> tuple[float]:
    """Return the height of the landscape at a point, after a simulation of so many seconds."""
    time.sleep(seconds)
    return benchmarks.rastrigin(point)


def main() -> None:
    parser = argparse.ArgumentParser(description="CMA-ES on Rastrigin's function.")
    parser.add_argument("--dimensions", type=int, default=10, help="of the landscape (default: 10)")
    parser.add_argument("--generations", type=int, default=60, help="how many (default: 60)")
    parser.add_argument("--ms", type=float, default=5, help="milliseconds that one evaluation takes (default: 5)")
    parser.add_argument("--checkpoint", help="file to continue from (default: one for these dimensions and ms)")
    parser.add_argument("--png", default="evolution.png", help="where the picture goes")
    options = parser.parse_args()
    place = options.checkpoint or f"evolution-{options.dimensions}d-{options.ms:g}ms.checkpoint"

    creator.create("Lowest", base.Fitness, weights=(-1.0,))
    creator.create("Point", list, fitness=creator.Lowest)
    random.seed(1)
    np.random.seed(1)
    strategy = cma.Strategy([5.0] * options.dimensions, sigma=5.0, lambda_=20 * options.dimensions)
    toolbox = base.Toolbox()
    toolbox.register("generate", strategy.generate, creator.Point)
    toolbox.register("update", strategy.update)
    toolbox.register("evaluate", measure, seconds=options.ms / 1000)
    best = tools.HallOfFame(1)
    stats = tools.Statistics(lambda point: point.fitness.values)
    for name, function in {"min": np.min, "avg": np.mean, "std": np.std}.items():
        stats.register(name, function)

    began, evaluated = time.perf_counter(), 0
    with hpcml.Cluster() as cluster:
        toolbox.register("map", cluster.map)
        for generation in evolve.generations(
            evolve.EaGenerateUpdate(), toolbox, options.generations,
            stats=stats, halloffame=best, checkpoint=place,
        ):  # fmt: skip
            evaluated += generation.evaluated
            if generation.number % 10 == 0:
                print(f"generation {generation.number:4}  lowest {best[0].fitness.values[0]:.4g}", flush=True)
        slots = cluster.slots
    print(f"lowest           {best[0].fitness.values[0]:.6g}")
    print(f"slots            {slots}")
    print(f"evaluations      {evaluated} in this session")
    print(f"wall time        {time.perf_counter() - began:.1f} s")
    evolve.plot_convergence(generation.logbook, options.png)
    print(f"picture          {options.png}")


if __name__ == "__main__":
    main()
