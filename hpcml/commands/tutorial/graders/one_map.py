"""Grader of exercise 4: a swarm is computed here; the other families are compared with targets."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from hpcml.commands.tutorial.checks import Check, at_least, close, same
from hpcml.commands.tutorial.results import flag, numbers, table, texts, whole

__all__ = ["FIELDS", "grade"]

LOWEST = "lowest value so far after each generation, a row for each seed: "
FIELDS = {
    "quick": flag("whether there are three seeds and 40 generations, --quick"),
    "slots": whole("slots of the Cluster"),
    "workers": texts("host and process of each worker that has evaluated, each once"),
    "PSO": table(LOWEST + "particle swarm"),
    "CMA_ES": table(LOWEST + "CMA-ES"),
    "EMNA": table(LOWEST + "EMNA"),
    "DE": table(LOWEST + "differential evolution"),
    "swarm_in_reverse": numbers("the row of the swarm of seed 0 whose particles come in reverse order"),
    "evaluations": numbers("evaluations of PSO, CMA-ES, EMNA and DE, of all seeds together"),
    "size_for_16_slots": whole("fewest points of a generation, 40 or more, that keep 16 slots busy until its end"),
}

DIMENSIONS, SIZE, SLOTS = 10, 40, 16
SEEDS = {True: 3, False: 9}
GENERATIONS = {True: 40, False: 100}
TARGETS = {  # about ten times what they reach
    True: {"PSO": 1.0, "CMA_ES": 0.1, "EMNA": 1e-5, "DE": 10.0},
    False: {"PSO": 1e-2, "CMA_ES": 1e-7, "EMNA": 1e-18, "DE": 0.1},
}


def grade(results: Mapping[str, Any]) -> Iterator[Check]:
    """Yield the checks of a student's results."""
    quick = results["quick"]
    yield at_least(
        "slots that work",
        len(set(results["workers"])),
        min(results["slots"], 2),
        "give the map of an open Cluster to run, in place of Python's own",
    )
    yield _swarm(results)
    yield same(
        "evaluations counted",
        results["evaluations"],
        [SEEDS[quick] * GENERATIONS[quick] * SIZE] * len(TARGETS[quick]),
        "count in run, where the answers arrive: a worker's globals stay in the worker",
    )
    yield _targets(results, TARGETS[quick])
    hint = "16 slots take 40 points in three rounds, and in the last of these 8 slots have nothing to do"
    yield same("size for 16 slots", results["size_for_16_slots"], -(-SIZE // SLOTS) * SLOTS, hint)


def _swarm(results: Mapping[str, Any]) -> Check:
    """Check that a swarm goes where it goes when all values are noted before a particle moves, in any order."""
    expected = _reference(results["quick"])
    found = [value for row in results["PSO"] for value in row] + results["swarm_in_reverse"]
    return close(
        "a swarm without order",
        found,
        [value for row in (*expected, expected[0]) for value in row],
        "note the values of all particles in one loop, and move all in a second: then no order changes the result",
        tolerance=1e-6,
    )


def _targets(results: Mapping[str, Any], targets: Mapping[str, float]) -> Check:
    """Check the median over the seeds of the lowest values."""
    reached = {name: _median([row[-1] for row in results[name] if row]) for name in targets}
    missed = [name for name, target in targets.items() if not reached[name] <= target]
    return Check(
        "targets of the families",
        not missed,
        ", ".join(f"{name} {target:g}" for name, target in targets.items()),
        ", ".join(f"{name} {reached[name]:.2g}" for name in missed),
        "values belong to points in the order of the points: cluster.map keeps it",
    )


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2] if values else float("inf")


@cache
def _reference(quick: bool) -> list[list[float]]:
    """Return the lowest values so far of a swarm, for each seed, of one process."""
    return [_run(seed, GENERATIONS[quick]) for seed in range(SEEDS[quick])]


def _run(seed: int, generations: int) -> list[float]:
    import numpy as np

    randoms = [np.random.default_rng((seed, number)) for number in range(SIZE)]
    positions = np.array([random.uniform(-5, 5, DIMENSIONS) for random in randoms])
    speeds = np.array([random.uniform(-1, 1, DIMENSIONS) for random in randoms])
    bests, lowest = positions.copy(), np.full(SIZE, np.inf)
    found: list[float] = []
    for _ in range(generations):
        outside = np.maximum(np.abs(positions) - 10, 0).sum(axis=1)
        values = ((np.clip(positions, -10, 10) - 1) ** 2).sum(axis=1) + outside
        better = values < lowest
        bests[better], lowest[better] = positions[better], values[better]
        best = bests[lowest.argmin()]
        pulls = np.array([random.uniform(0, 1.5, (2, DIMENSIONS)) for random in randoms])
        speeds = 0.7 * speeds + (pulls[:, 0] * (bests - positions) + pulls[:, 1] * (best - positions))
        positions = positions + speeds
        found.append(float(lowest.min()))
    return found
