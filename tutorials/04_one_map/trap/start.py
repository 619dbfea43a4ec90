"""Exercise 4: four families of evolutionary algorithms, whose points one map evaluates."""

import argparse
import functools
import json
import os
import socket
from pathlib import Path

import numpy as np
from deap import base, cma, creator
from matplotlib import pyplot as plt

import hpcml

DIMENSIONS, SIZE = 10, 40  # of the space; points of a generation
COUNTS = {"evaluations": 0}
WORKERS = set()


def within_bounds(function):
    """Add to a function a penalty for points that are more than 10 from the origin in a dimension."""

    @functools.wraps(function)
    def penalised(point):
        return function(np.clip(point, -10, 10)) + float(np.sum(np.maximum(np.abs(point) - 10, 0)))

    return penalised


@within_bounds
def height(point):
    """Return the squared distance of a point from (1, 1, …)."""
    return float(np.sum((point - 1) ** 2))


def evaluate(point):
    """Return the height of a point, and the process that has computed it."""
    return height(point), f"{socket.gethostname()}-{os.getpid()}"


class Swarm:
    """Particles that are drawn to their own best position, and to the best of all (PSO)."""

    def __init__(self, seed, order=range(SIZE)):
        self.order = order
        self.randoms = [np.random.default_rng((seed, number)) for number in range(SIZE)]
        self.positions = [random.uniform(-5, 5, DIMENSIONS) for random in self.randoms]
        self.speeds = [random.uniform(-1, 1, DIMENSIONS) for random in self.randoms]
        self.bests = [(np.inf, position) for position in self.positions]
        self.best = self.bests[0]

    def ask(self):
        return [self.positions[number] for number in self.order]

    def tell(self, points, values):
        # TODO 2: note the values of all particles, and only then move all: here the order decides where they go.
        for number, value in zip(self.order, values, strict=True):
            self.note(number, value)
            self.move(number)

    def note(self, number, value):
        """Note the value of a particle where it is, if that is its best, or the best of all."""
        if value < self.bests[number][0]:
            self.bests[number] = (value, self.positions[number])
        if value < self.best[0]:
            self.best = (value, self.positions[number])

    def move(self, number):
        """Move a particle."""
        own, all_ = self.randoms[number].uniform(0, 1.5, (2, DIMENSIONS))
        here = self.positions[number]
        pull = own * (self.bests[number][1] - here) + all_ * (self.best[1] - here)
        self.speeds[number] = 0.7 * self.speeds[number] + pull
        self.positions[number] = here + self.speeds[number]


class CmaEs:
    """A normal distribution whose covariance follows the best points (CMA-ES), by DEAP."""

    def __init__(self, seed):
        np.random.seed(seed)  # the strategy draws from numpy's global generator
        self.strategy = cma.Strategy([-3.0] * DIMENSIONS, sigma=3.0, lambda_=SIZE)

    def ask(self):
        self.points = self.strategy.generate(creator.Point)
        return [np.array(point) for point in self.points]

    def tell(self, points, values):
        for point, value in zip(self.points, values, strict=True):
            point.fitness.values = (value,)
        self.strategy.update(self.points)


class Emna:
    """A normal distribution with the mean and the spread of the best points (EMNA, an EDA)."""

    def __init__(self, seed):
        self.random = np.random.default_rng(seed)
        self.mean, self.spread = np.full(DIMENSIONS, -3.0), 3.0

    def ask(self):
        return list(self.random.normal(self.mean, self.spread, (SIZE, DIMENSIONS)))

    def tell(self, points, values):
        best = np.array(points)[np.argsort(values)[: SIZE // 4]]
        self.spread = float(np.sqrt(np.mean((best - self.mean) ** 2)))  # from the old mean, or it shrinks too soon
        self.mean = best.mean(axis=0)


class Differences:
    """Points that move by the difference of two others, where that is lower (DE)."""

    def __init__(self, seed):
        self.random = np.random.default_rng(seed)
        self.points = self.random.uniform(-5, 5, (SIZE, DIMENSIONS))
        self.values = np.full(SIZE, np.inf)

    def ask(self):
        if np.isinf(self.values[0]):
            return list(self.points)
        others = np.array([self.random.choice(SIZE, 3, replace=False) for _ in range(SIZE)]).T
        first, second, third = self.points[others]
        crossed = self.random.uniform(size=self.points.shape) < 0.9
        return list(np.where(crossed, first + 0.5 * (second - third), self.points))

    def tell(self, points, values):
        better = np.array(values) < self.values
        self.points[better] = np.array(points)[better]
        self.values[better] = np.array(values)[better]


FAMILIES = {"PSO": Swarm, "CMA_ES": CmaEs, "EMNA": Emna, "DE": Differences}


def run(family, mapping, generations):
    """Return the lowest value so far after each generation."""
    lowest = []
    for _ in range(generations):
        points = family.ask()
        answers = list(mapping(evaluate, points))
        # TODO 3: the evaluations are counted here: each worker has globals of its own.
        COUNTS["evaluations"] += len(answers)
        values = [value for value, _ in answers]
        WORKERS.update(worker for _, worker in answers)
        family.tell(points, values)
        lowest.append(min([*values, *lowest[-1:]]))
    return lowest


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="three seeds and 40 generations")
    quick = parser.parse_args().quick
    seeds, generations = (3, 40) if quick else (9, 100)
    creator.create("Lowest", base.Fitness, weights=(-1.0,))
    creator.create("Point", list, fitness=creator.Lowest)
    lowest, evaluations = {}, []

    # TODO 1: open a Cluster, and give its map to each run in place of Python's own.
    with hpcml.Cluster() as cluster:
        slots = cluster.slots
        for name, kind in FAMILIES.items():
            COUNTS["evaluations"] = 0
            lowest[name] = [run(kind(seed), cluster.map, generations) for seed in range(seeds)]
            evaluations.append(COUNTS["evaluations"])
        reverse = run(Swarm(0, range(SIZE)[::-1]), cluster.map, generations)

    # TODO 4: the fewest points of a generation, 40 or more, with which none of 16 slots is idle at its end.
    size_for_16_slots = -(-SIZE // 16) * 16

    results = {
        "quick": quick,
        "slots": slots,
        "workers": sorted(WORKERS),
        **lowest,
        "swarm_in_reverse": reverse,
        "evaluations": evaluations,
        "size_for_16_slots": size_for_16_slots,
    }
    Path("results").mkdir(exist_ok=True)
    Path("results/04.json").write_text(json.dumps(results, indent=1))
    draw(lowest)


def draw(lowest):
    """Draw the median of the lowest values so far over the evaluations, and their quartiles."""
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for (name, rows), line, grey in zip(lowest.items(), ("-", "--", "-.", ":"), (0, 0.2, 0.4, 0.6), strict=True):
        low, median, high = np.percentile(rows, (25, 50, 75), axis=0)
        evaluations = SIZE * np.arange(1, len(median) + 1)
        axes.plot(evaluations, median, linestyle=line, color=str(grey), label=name.replace("_", "-"))
        axes.fill_between(evaluations, low, high, color=str(grey), alpha=0.15, linewidth=0)
    axes.set(yscale="log", xlabel="evaluations", ylabel="lowest value so far", title="median and quartiles")
    axes.legend()
    figure.savefig("results/04.png", dpi=100)


if __name__ == "__main__":
    main()
