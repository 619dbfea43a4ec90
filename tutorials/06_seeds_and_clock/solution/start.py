"""Exercise 6: seeds as an array of jobs, and an evolution that goes on where the clock has cut it."""

import argparse
import errno
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from deap import algorithms, base, creator, tools
from matplotlib import pyplot as plt

import hpcml
from hpcml import evolve

SEEDS = range(8)
SEED = 6  # of the evolution that is cut
NODES = 8
MINUTES = [20 + 7 * job % 41 for job in range(80)]  # that each of 80 jobs takes

creator.create("Least", base.Fitness, weights=(-1.0,))
creator.create("Plan", list, fitness=creator.Least)


def last_end(plan, seconds):
    """Return the minute at which the last job ends, each job on the node of the plan, after a long simulation."""
    time.sleep(seconds)
    ends = [0] * NODES
    for node, minutes in zip(plan, MINUTES, strict=True):
        ends[node] += minutes
    return (float(max(ends)),)


def move_jobs(plan):
    """Move some jobs to other nodes; numpy draws."""
    for job in np.flatnonzero(np.random.random(len(plan)) < 0.05):
        plan[job] = int(np.random.randint(NODES))
    return (plan,)


def make_toolbox(seconds):
    """Return DEAP's toolbox of this problem."""
    toolbox = base.Toolbox()
    toolbox.register("evaluate", last_end, seconds=seconds)
    toolbox.register("mate", tools.cxTwoPoint)
    toolbox.register("mutate", move_jobs)
    toolbox.register("select", tools.selTournament, tournsize=3)
    return toolbox


def first_population(seed, size):
    """Seed both generators, and return a population."""
    random.seed(seed)
    np.random.seed(seed)
    return [creator.Plan(random.choices(range(NODES), k=len(MINUTES))) for _ in range(size)]


def run_seed(seed, size, generations):
    """Return the best of an evolution. The run of seed 4 fails, the first time: its disk is full."""
    name = f"{seed} {socket.gethostname()}-{os.getpid()}"
    Path("results/seeds", f"{name} {time.time_ns()}").touch()
    if seed == 4 and len(list(Path("results/seeds").glob(f"{seed} *"))) == 1:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    population = first_population(seed, size)
    population, _ = algorithms.eaSimple(population, make_toolbox(0), 0.5, 0.2, generations, verbose=False)
    return min(plan.fitness.values[0] for plan in population)


def run_seeds(size, generations):
    """Return the result of each seed; the file results/missing names the seeds that had none at first."""
    calls = len(SEEDS)
    for _ in range(3):
        try:
            # TODO 1: run the seeds as an array of jobs of five minutes, and those that have a result not again:
            # hpcml.map_array(run_seed, SEEDS, …, time=5, resume=True). It takes iterables, as map does.
            found = hpcml.map_array(run_seed, SEEDS, [size] * calls, [generations] * calls, time=5, resume=True)
            return list(found)
        except hpcml.ArrayFailed as error:
            # TODO 2: with an array the error is hpcml.ArrayFailed. Its `errors` has the seeds without a result.
            missing = sorted(error.errors)
            Path("results/missing").write_text(json.dumps(missing))
            print(f"no result of seeds {missing}: {error}", flush=True)
    sys.exit("seeds have no result after three tries")


def evolve_plans(cluster, attempt, size, generations, seconds):
    """Evolve to the last generation, from the state that an earlier attempt has left, if there is one."""
    population = first_population(SEED, size)
    toolbox = make_toolbox(seconds)
    toolbox.register("map", cluster.map)
    stats = tools.Statistics(lambda plan: plan.fitness.values[0])
    stats.register("avg", np.mean)
    stats.register("best", min)
    # TODO 4: keep the state of the evolution in a file: checkpoint="results/state".
    for generation in evolve.generations(
        evolve.EaSimple(0.5, 0.2), toolbox, generations, population, stats=stats, checkpoint="results/state"
    ):
        note(attempt, generation.number, float(generation.logbook[-1]["best"]))
    return population, generation.logbook


def note(attempt, generation, best):
    """Note a generation of an attempt, and when it ended; -1 for the begin of the attempt."""
    with open("results/notes", "a") as file:
        file.write(json.dumps([attempt, time.time(), generation, best]) + "\n")


def read_notes():
    """Return the notes of all attempts: attempt, seconds since the first began, generation, best."""
    lines = Path("results/notes").read_text().splitlines() if Path("results/notes").exists() else []
    notes = [json.loads(line) for line in lines]
    return [[attempt, moment - notes[0][1], generation, best] for attempt, moment, generation, best in notes]


def run_attempts(generations):
    """Run this program until an attempt comes to its end; kill the first two on the way, as a time limit does."""
    for attempt in range(3):
        attempted = subprocess.Popen([sys.executable, *sys.argv, "--attempt", str(attempt)])
        cut = generations * (attempt + 1) / 3
        while attempted.poll() is None:
            if attempt < 2 and max((row[2] for row in read_notes() if row[0] == attempt), default=-1) >= cut:
                attempted.kill()
            time.sleep(0.05)
        if attempted.returncode > 0:
            break
    sys.exit(attempted.returncode)


def run_attempt(cluster, attempt, size, generations, seconds):
    """Run the seeds and the evolution, as far as earlier attempts have not; return the results."""
    best_of_seeds = run_seeds(size, generations)
    population, logbook = evolve_plans(cluster, attempt, size, generations, seconds)
    after = [random.random(), float(np.random.random())]
    notes = read_notes()
    # TODO 5: how many generations were made once more? Notes are [attempt, seconds, generation, best], and
    # generation -1 is the begin of an attempt.
    made = [generation for _, _, generation, _ in notes if generation >= 0]
    repeated = len(made) - len(set(made))

    runs = sorted(path.name.split() for path in Path("results/seeds").iterdir())
    missing = Path("results/missing")
    return {
        "slots": cluster.slots,
        "script": f"{socket.gethostname()}-{os.getpid()}",
        "best_of_seeds": best_of_seeds,
        "missing_seeds": json.loads(missing.read_text()) if missing.exists() else [],
        "runs": [[int(run[0]) for run in runs].count(seed) for seed in SEEDS],
        "processes_of_seeds": sorted({process for _, process, _ in runs}),
        "attempts": notes,
        "repeated": repeated,
        "logbook": [[row["gen"], row["nevals"], float(row["avg"]), row["best"]] for row in logbook],
        "population": population,
        "numbers_after": after,
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="few generations of short evaluations")
    parser.add_argument("--slots", type=int, help="workers on each node, in place of one for each core")
    parser.add_argument("--seconds", type=float, help="that an evaluation takes")
    parser.add_argument("--attempt", type=int, help="make one attempt, and be ended by Slurm: 0 begins anew")
    options = parser.parse_args()
    size, generations, seconds = (20, 30, 0.01) if options.quick else (40, 60, 0.4)
    seconds = seconds if options.seconds is None else options.seconds
    if not options.attempt:
        for folder in ("results", ".hpcml/jobs"):
            shutil.rmtree(folder, ignore_errors=True)
        Path("results/seeds").mkdir(parents=True)
    if options.attempt is None:
        run_attempts(generations)

    note(options.attempt, -1, 0.0)
    # TODO 3: near the end of its time, have the job go back to the queue: requeue=True.
    with hpcml.Cluster(requeue=True, slots_per_node=options.slots) as cluster:
        results = run_attempt(cluster, options.attempt, size, generations, seconds)
        Path("results/06.json").write_text(json.dumps({"quick": options.quick, **results}, indent=1))
        draw(results)


def draw(results):
    """Draw the attempts over time, the best of each generation with the cuts, and the best of each seed."""
    layout = [["bars", "seeds"], ["curve", "curve"]]
    figure, axes = plt.subplot_mosaic(layout, figsize=(11, 7), layout="constrained")
    draw_attempts(axes["bars"], axes["curve"], results["attempts"])
    numbers, _, average, best = zip(*results["logbook"], strict=True)
    axes["curve"].plot(numbers, average, "--", color="grey", label="mean")
    axes["curve"].plot(numbers, best, "k-", label="best")
    axes["curve"].axhline(sum(MINUTES) / NODES, color="black", linewidth=0.8, label="all nodes end together")
    axes["curve"].set(xlabel="generation", ylabel="end of the last job (min)", title="one evolution")
    axes["curve"].legend()
    for label, style, again in (("first run", "ko", False), ("second run", "k^", True)):
        seeds = [seed for seed in SEEDS if (seed in results["missing_seeds"]) == again]
        axes["seeds"].plot(seeds, [results["best_of_seeds"][seed] for seed in seeds], style, label=label)
    axes["seeds"].set(xlabel="seed", ylabel="end of the last job (min)", title="seeds")
    axes["seeds"].margins(y=0.3)
    axes["seeds"].legend()
    figure.savefig("results/06.png", dpi=100)


def draw_attempts(bars, curve, notes):
    """Draw a bar for each attempt, and a line where each but the first went on."""
    attempts = sorted({attempt for attempt, *_ in notes})
    for attempt in attempts:
        rows = [row for row in notes if row[0] == attempt]
        first = next((row[1] for row in rows if row[2] >= 0), rows[-1][1])
        bars.barh(attempt + 1, first - rows[0][1], left=rows[0][1], color="white", edgecolor="black", hatch="//",
                  label="start, and seeds" if attempt == attempts[0] else None)  # fmt: skip
        bars.barh(attempt + 1, rows[-1][1] - first, left=first, color="lightgrey", edgecolor="black",
                  label="generations" if attempt == attempts[0] else None)  # fmt: skip
        going_on = next((row[2] for row in rows if row[2] > 0), None)
        if attempt > attempts[0] and going_on is not None:
            curve.axvline(going_on, color="black", linestyle=":", label="went on" if attempt == 1 else None)
    bars.set(xlabel="time (s)", ylabel="attempt", title="attempts", yticks=[attempt + 1 for attempt in attempts])
    bars.invert_yaxis()
    bars.legend()


if __name__ == "__main__":
    main()
