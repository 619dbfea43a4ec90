"""Grader of exercise 3: the logbook of one process, the speed-up of sleeping fitness, a failed individual."""

import random
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from hpcml.commands.tutorial.checks import Check, at_least, close
from hpcml.commands.tutorial.results import flag, number, numbers, table, text, texts, whole

__all__ = ["FIELDS", "grade"]

FIELDS = {
    "quick": flag("whether population and generations are few, --quick"),
    "slots": whole("slots of the Cluster"),
    "workers": texts("host and process of each worker that has evaluated, each once"),
    "logbook": table("number, evaluations, mean and best fitness of each generation"),
    "best": numbers("genes of the best individual"),
    "individuals": whole("individuals of a generation whose time is measured"),
    "milliseconds": numbers("times that the measured fitness sleeps"),
    "serial_seconds": numbers("seconds of such a generation in one process, for each of these times"),
    "map_seconds": numbers("seconds of such a generation by toolbox.map, for each of these times"),
    "predicted_ms": number("fitness time in ms from which toolbox.map is predicted to gain"),
    "failure": text("error of an individual without features, with the notes that it has"),
}

SIZES = {True: (20, 5), False: (48, 10)}  # individuals, generations
FEATURES = 12
PREDICTS_FROM = 0.3  # ms
SLEEPS = 20.0  # ms and more: other work on the computer makes such evaluations little longer
LEAST_GAIN = 0.2  # part of the gain that the slots allow: on a computer with much other work there is no more
FACTOR = 2.0


def grade(results: Mapping[str, Any]) -> Iterator[Check]:
    """Yield the checks of a student's results."""
    logbook, best = _reference(results["quick"])
    yield at_least(
        "slots that work",
        len(set(results["workers"])),
        min(results["slots"], 2),
        "register the map of an open Cluster, toolbox.register('map', cluster.map), before evolve",
    )
    hint = "seed once before the population is made, and leave the order of random numbers as it is"
    yield close("logbook of one process", _flat(results["logbook"]), _flat(logbook), hint, tolerance=1e-12)
    yield close("best individual", results["best"], best, hint)
    yield _speed_up(results)
    yield _prediction(results)
    yield _failure(results["failure"])


def _flat(rows: Sequence[Sequence[float]]) -> list[float]:
    return [value for row in rows for value in row]


def _rows(results: Mapping[str, Any]) -> list[tuple[float, float, float]]:
    """Return the measured generations: fitness time in ms, seconds in one process, seconds of the map."""
    columns = (results["milliseconds"], results["serial_seconds"], results["map_seconds"])
    return [row for row in zip(*columns, strict=False) if min(row) > 0]


def _speed_up(results: Mapping[str, Any]) -> Check:
    """Check the speed-up of the longest fitness, which sleeps, against the best that the slots allow."""
    individuals, slots = max(results["individuals"], 1), max(results["slots"], 1)
    best = individuals / -(-individuals // slots)
    found = max((serial / mapped for ms, serial, mapped in _rows(results) if ms >= SLEEPS), default=0.0)
    hint = "individuals of 20 ms and more are worth sending: measure toolbox.map, not map"
    limit = 1 + LEAST_GAIN * (best - 1) if best > 1 else 0.5  # one slot sends, and gains nothing
    return at_least("speed-up of long evaluations", found, limit, hint)


def _prediction(results: Mapping[str, Any]) -> Check:
    """Check the prediction against that from the student's own measurement: no noise makes it wrong."""
    slots = max(results["slots"], 1)
    expected = [
        1000 * (mapped - serial / slots) / max(results["individuals"], 1) * slots / max(slots - 1, 1)
        for ms, serial, mapped in _rows(results)
        if ms == PREDICTS_FROM
    ]
    found = results["predicted_ms"]
    passed = any(min(one / FACTOR, one * FACTOR) <= found <= max(one / FACTOR, one * FACTOR) for one in expected)
    return Check(
        "predicted break-even",
        passed,
        f"within a factor of {FACTOR:g} of {expected[0]:.3g} ms" if expected else f"a row of {PREDICTS_FROM} ms",
        f"{found:.3g} ms",
        "n t = n t / slots + n s: solve for t, with s of the generations of 0.3 ms",
    )


def _failure(found: str) -> Check:
    """Check that the error of an individual without features is there, and names it."""
    genome = str([0] * FEATURES)
    return Check(
        "a failed individual is named",
        "ValueError" in found and genome in found,
        f"ValueError, and a note with {genome}",
        found or "no error",
        "a fitness for what has none hides the mistake: raise ValueError in evaluate, and use cluster.map",
    )


@cache
def _reference(quick: bool) -> tuple[list[list[float]], list[float]]:
    """Return logbook and best individual of DEAP's own loop in one process."""
    from deap import algorithms, base, tools

    size, generations = SIZES[quick]
    toolbox = base.Toolbox()
    toolbox.register("evaluate", _new_fitness())
    toolbox.register("mate", tools.cxUniform, indpb=0.5)
    toolbox.register("mutate", tools.mutFlipBit, indpb=0.1)
    toolbox.register("select", tools.selTournament, tournsize=3)
    state = random.getstate()
    random.seed(3)  # now: libraries draw numbers while they are imported
    population = [_Individual(random.randint(0, 1) for _ in range(FEATURES)) for _ in range(size)]
    for one in population:
        one.fitness = _new_empty_fitness()
    best = tools.HallOfFame(1)
    _, logbook = algorithms.eaSimple(population, toolbox, 0.5, 0.2, generations, _statistics(), best, False)
    random.setstate(state)
    return [[float(row[name]) for name in ("gen", "nevals", "avg", "max")] for row in logbook], list(best[0])


class _Individual(list[int]):
    """A genome, with the fitness that DEAP gives it."""

    fitness: Any


def _new_empty_fitness() -> Any:
    from deap.base import Fitness

    return type("Highest", (Fitness,), {"weights": (1.0,)})()


def _statistics() -> Any:
    import numpy as np
    from deap.tools import Statistics

    statistics = Statistics(lambda individual: individual.fitness.values[0])
    statistics.register("avg", np.mean)
    statistics.register("max", np.max)
    return statistics


def _new_fitness() -> Any:
    """Return the exercise's evaluation; equal genomes are evaluated once."""
    import numpy as np

    y = np.arange(300) % 2
    X = np.random.default_rng(3).normal(size=(300, FEATURES))
    X[:, :4] += y[:, None]

    @cache
    def _of(genome: tuple[int, ...]) -> tuple[float]:
        chosen = [number for number, gene in enumerate(genome) if gene]
        distances = ((X[:, None, chosen] - X[:, chosen]) ** 2).sum(axis=2)
        np.fill_diagonal(distances, np.inf)
        return (float(np.mean(y[distances.argmin(axis=1)] == y)) - 0.002 * len(chosen),)

    return lambda individual: _of(tuple(individual))
