"""Exercise 5: islands of a genetic algorithm, as tasks of a Cluster and on ranks of MPI."""

import argparse
import json
import os
import random
import socket
from pathlib import Path

import numpy as np
from deap import base, creator, tools
from matplotlib import pyplot as plt

import hpcml
from hpcml import evolve

SEED = 5
ISLANDS = 4
BITS = 40
EVERY = 5  # generations of an epoch
MIGRANTS = 2  # sent from each island after an epoch

creator.create("Most", base.Fitness, weights=(1.0,))
creator.create("Bits", list, fitness=creator.Most)


def count_traps(bits):
    """Return the fitness: of each five bits 5 where all are 1, else the more the fewer are 1. A trap."""
    ones = [sum(bits[first : first + 5]) for first in range(0, BITS, 5)]
    return (float(sum(5 if count == 5 else 4 - count for count in ones)),)


def make_deme(size):
    """Return the first population of an island."""
    return [creator.Bits(random.choices((0, 1), k=BITS)) for _ in range(size)]


def make_toolbox():
    """Return DEAP's toolbox of this problem. Its ``map`` runs the islands: Python's own, here."""
    toolbox = base.Toolbox()
    toolbox.register("evaluate", count_traps)
    toolbox.register("mate", tools.cxTwoPoint)
    toolbox.register("mutate", tools.mutFlipBit, indpb=1 / BITS)
    toolbox.register("select", tools.selTournament, tournsize=3)
    return toolbox


def this_process(values=None):
    """Return the name of this process."""
    return f"{socket.gethostname()}-{os.getpid()}"


def evolve_islands(toolbox, demes, epochs, comm=None):
    """Return what became of the islands; with a communicator, each of its ranks evolves some of them."""
    stats = tools.Statistics(lambda bits: bits.fitness.values[0])
    stats.register("best", max)
    stats.register("process", this_process)
    options = {"every": EVERY, "migrants": MIGRANTS, "seed": SEED, "stats": stats, "comm": comm}
    algorithm = evolve.EaSimple(cxpb=0.7, mutpb=0.3)
    populations = []
    for epoch in evolve.islands(algorithm, toolbox, demes, EVERY * epochs, **options):
        populations.append([as_numbers(population) for population in epoch.populations])
    logbooks = [island.logbook for island in epoch.islands]
    return {
        "best": [logbook.select("best") for logbook in logbooks],
        "processes": sorted({name for logbook in logbooks for name in logbook.select("process")}),
        "populations": populations,
    }


def as_numbers(population):
    """Return each individual as the number that its bits are."""
    return [int("".join(map(str, bits)), 2) for bits in population]


def run_on_rank(comm, demes, epochs):
    """Evolve this rank's share of the islands. All ranks run this at the same time."""
    # TODO 3: give the communicator to evolve_islands, so that the ranks share the islands.
    return evolve_islands(make_toolbox(), demes, epochs, comm)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="small islands, and few epochs")
    parser.add_argument("--slots", type=int, help="workers on each node, in place of one for each core")
    arguments = parser.parse_args()
    size, epochs = (20, 6) if arguments.quick else (60, 12)
    Path("results").mkdir(exist_ok=True)

    random.seed(SEED)
    # TODO 1: make the first population of each island.
    demes = []
    for _ in range(ISLANDS):
        random.seed(SEED)
        demes.append(make_deme(size))
    toolbox = make_toolbox()
    with hpcml.Cluster(mpi=True, slots_per_node=arguments.slots) as cluster:
        slots = cluster.slots
        # TODO 2: run the islands as tasks: the toolbox's map is that of the Cluster.
        toolbox.register("map", cluster.map)
        by_map = evolve_islands(toolbox, demes, epochs)
        # TODO 4: run run_on_rank(comm, demes, epochs) on all ranks: cluster.comm_map.
        on_ranks = cluster.comm_map(run_on_rank, demes, epochs)
    # TODO 5: how many individuals have been sent to another island? None is sent after the last epoch.
    migrants = ISLANDS * MIGRANTS * (epochs - 1)

    nothing = {"best": [], "processes": [], "populations": [[]]}
    by_mpi = on_ranks[0] if on_ranks else nothing
    results = {
        "quick": arguments.quick,
        "slots": slots,
        "script": this_process(),
        "demes": [as_numbers(deme) for deme in demes],
        "processes_by_map": by_map["processes"],
        "best_by_map": by_map["best"],
        "last_by_map": by_map["populations"][-1],
        "ranks": len(on_ranks),
        "ranks_agree": all(found == by_mpi for found in on_ranks),
        "processes_by_mpi": by_mpi["processes"],
        "best_by_mpi": by_mpi["best"],
        "last_by_mpi": by_mpi["populations"][-1],
        "migrants": migrants,
    }
    Path("results/05.json").write_text(json.dumps(results, indent=1))
    draw(by_map)


def draw(found):
    """Draw the best of each island, and how different individuals are after each epoch."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
    epochs = len(found["populations"])
    for number, (best, style) in enumerate(zip(found["best"], ("k-", "k--", "k:", "k-."), strict=True), 1):
        left.plot(best, style, label=f"island {number}")
    for epoch in range(1, epochs):
        left.axvline(EVERY * epoch, color="lightgrey", zorder=0, label="migration" if epoch == 1 else None)
    left.axhline(BITS, color="grey", label="all bits are 1")
    left.set(xlabel="generation", ylabel="best fitness", title="best of each island")
    left.legend(loc="lower right")
    within, between = zip(*(differences(populations) for populations in found["populations"]), strict=True)
    right.plot(range(1, epochs + 1), between, "ko-", label="of different islands")
    right.plot(range(1, epochs + 1), within, "^--", color="grey", label="of one island")
    right.set(xlabel="epoch", ylabel="bits that differ", title="difference of two individuals", ylim=(0, None))
    right.legend()
    figure.savefig("results/05.png", dpi=100)


def differences(populations):
    """Return how many bits of two individuals differ on average: on one island, and on two."""
    bits = (np.array(populations)[:, :, None] >> np.arange(BITS)) & 1
    ones = bits.mean(axis=1)  # of each island, the share of ones in each place
    differing = ones @ (1 - ones).T + (1 - ones) @ ones.T
    others = ~np.eye(len(populations), dtype=bool)
    return float(np.diag(differing).mean()), float(differing[others].mean())


if __name__ == "__main__":
    main()
