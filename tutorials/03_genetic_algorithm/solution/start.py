"""Exercise 3: a genetic algorithm, and the fitness time from which it gets faster."""

import argparse
import json
import os
import random
import socket
import time
from pathlib import Path

import numpy as np
from deap import algorithms, base, creator, tools
from matplotlib import pyplot as plt

import hpcml

FEATURES = 12


def make_samples():
    """Return samples of two classes, which differ in the first four features alone, and their classes."""
    numbers = np.random.default_rng(3)
    y = np.arange(300) % 2
    X = numbers.normal(size=(300, FEATURES))
    X[:, :4] += y[:, None]
    return X, y


def accuracy(X, y):
    """Return the part of the samples that are of the class of their nearest neighbour."""
    distances = ((X[:, None] - X) ** 2).sum(axis=2)
    np.fill_diagonal(distances, np.inf)
    return float(np.mean(y[distances.argmin(axis=1)] == y))


def evaluate(individual, X, y):
    """Return the accuracy with the chosen features, less a little for each feature."""
    Path("results/workers", f"{socket.gethostname()}-{os.getpid()}").touch()
    chosen = [number for number, gene in enumerate(individual) if gene]
    # TODO 3: without features there is no neighbour, and no fitness: raise ValueError("no feature").
    if not chosen:
        raise ValueError("no feature")
    return (accuracy(X[:, chosen], y) - 0.002 * len(chosen),)


def nap(individual, seconds):
    """Return a fitness that takes so many seconds, and no processor."""
    time.sleep(seconds)
    return (sum(individual),)


def make_toolbox():
    """Return a toolbox for genomes of 0 and 1, a gene for each feature."""
    creator.create("Highest", base.Fitness, weights=(1.0,))
    creator.create("Individual", list, fitness=creator.Highest)
    X, y = make_samples()
    toolbox = base.Toolbox()
    toolbox.register("gene", random.randint, 0, 1)
    toolbox.register("individual", tools.initRepeat, creator.Individual, toolbox.gene, FEATURES)
    toolbox.register("population", tools.initRepeat, list, toolbox.individual)
    toolbox.register("evaluate", evaluate, X=X, y=y)
    toolbox.register("mate", tools.cxUniform, indpb=0.5)
    toolbox.register("mutate", tools.mutFlipBit, indpb=0.1)
    toolbox.register("select", tools.selTournament, tournsize=3)
    return toolbox


def evolve(toolbox, size, generations, broken):
    """Evolve a population from a fixed seed; return its logbook, and its best individual."""
    random.seed(3)
    population = toolbox.population(size)
    if broken:
        population[0][:] = [0] * FEATURES
    stats = tools.Statistics(lambda individual: individual.fitness.values[0])
    stats.register("avg", np.mean)
    stats.register("max", np.max)
    best = tools.HallOfFame(1)
    _, logbook = algorithms.eaSimple(population, toolbox, 0.5, 0.2, generations, stats, best, verbose=False)
    return logbook, best[0]


def measure(toolbox, size, milliseconds):
    """Return the seconds of a generation by Python's own map and by the toolbox's, for each fitness time."""
    population = toolbox.population(size)
    serial, mapped = [], []
    for one in milliseconds:
        toolbox.register("nap", nap, seconds=one / 1000)
        serial.append(min(timed(map, toolbox.nap, population) for _ in range(5 if one <= 1 else 1)))
        mapped.append(min(timed(toolbox.map, toolbox.nap, population) for _ in range(5 if one <= 1 else 3)))
    return serial, mapped


def timed(mapping, function, population):
    """Return the seconds that a map takes."""
    began = time.perf_counter()
    list(mapping(function, population))
    return time.perf_counter() - began


def failure_of(toolbox):
    """Return the error of an individual without features; "" where there is none."""
    try:
        list(toolbox.map(toolbox.evaluate, [creator.Individual([0] * FEATURES)]))
    except Exception as error:
        return "\n".join([repr(error), *getattr(error, "__notes__", ())])[:1000]
    return ""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="a small population, and few generations")
    parser.add_argument("--broken", action="store_true", help="begin with an individual that has no fitness")
    options = parser.parse_args()
    Path("results/workers").mkdir(parents=True, exist_ok=True)
    for worker in Path("results/workers").iterdir():
        worker.unlink()
    size, generations = (20, 5) if options.quick else (48, 10)
    milliseconds = [0.1, 0.3, 1, 3, 20] if options.quick else [0.03, 0.1, 0.3, 1, 3, 10, 30, 100]
    individuals = 16 if options.quick else 64
    toolbox = make_toolbox()

    # TODO 1: open a Cluster, and register its map in the toolbox: import hpcml
    with hpcml.Cluster() as cluster:
        toolbox.register("map", cluster.map)
        slots = cluster.slots
        logbook, best = evolve(toolbox, size, generations, options.broken)
        serial, mapped = measure(toolbox, individuals, milliseconds)
        failure = failure_of(toolbox)
    # TODO 2: predict from the row of 0.3 ms the fitness time, in ms, from which the map gains: a generation takes
    # the time of one process divided by the slots, and for each individual the time to send it.
    row = milliseconds.index(0.3)
    sending = (mapped[row] - serial[row] / slots) / individuals
    predicted = 1000 * sending * slots / max(slots - 1, 1)

    results = {
        "quick": options.quick,
        "slots": slots,
        "workers": sorted(path.name for path in Path("results/workers").iterdir()),
        "logbook": [[row["gen"], row["nevals"], float(row["avg"]), float(row["max"])] for row in logbook],
        "best": list(best),
        "individuals": individuals,
        "milliseconds": milliseconds,
        "serial_seconds": serial,
        "map_seconds": mapped,
        "predicted_ms": predicted,
        "failure": failure,
    }
    Path("results/03.json").write_text(json.dumps(results, indent=1))
    draw(results)


def draw(results):
    """Draw the speed-up over the fitness time, and the fitness over the generations."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.5), layout="constrained")
    times = np.array(results["serial_seconds"]) / results["individuals"] * 1000
    left.plot(times, np.array(results["serial_seconds"]) / results["map_seconds"], "ko-", label="measured")
    left.axhline(results["slots"], color="grey", linestyle="--", label=f"{results['slots']} slots")
    left.axhline(1, color="black", linewidth=0.8, label="one process")
    if results["predicted_ms"] > 0:
        left.axvline(results["predicted_ms"], color="black", linestyle=":", label="break-even, predicted")
    left.set(xscale="log", xlabel="fitness time (ms)", ylabel="speed-up of a generation", ylim=(0, None))
    left.legend()
    numbers, _, average, highest = zip(*results["logbook"], strict=True)
    right.plot(numbers, highest, "k^-", label="best")
    right.plot(numbers, average, "o--", color="grey", label="mean")
    right.set(xlabel="generation", ylabel="fitness", title="selection of features")
    right.legend()
    figure.savefig("results/03.png", dpi=100)


if __name__ == "__main__":
    main()
