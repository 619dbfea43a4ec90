"""Grader of exercise 6: seeds that ran once, and an evolution that ends as an uncut one does, computed here."""

import random
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

from hpcml.commands.tutorial.checks import Check, close, same
from hpcml.commands.tutorial.results import flag, numbers, table, text, texts, whole

__all__ = ["FIELDS", "grade"]

FIELDS = {
    "quick": flag("whether generations are few and evaluations short, --quick"),
    "slots": whole("slots of the Cluster"),
    "script": text("host and process of the script's last attempt"),
    "best_of_seeds": numbers("best end of the last job, of each seed's own evolution"),
    "missing_seeds": numbers("seeds that had no result after the first array"),
    "runs": numbers("how many times each seed was run"),
    "processes_of_seeds": texts("host and process of each that has run a seed"),
    "attempts": table("attempt, seconds, number of the generation (-1: the attempt begins), its best"),
    "repeated": whole("generations that were made more than once"),
    "logbook": table("number, evaluations, mean and best of each generation"),
    "population": table("plans of the last generation: the node of each job"),
    "numbers_after": numbers("next number of random, and of numpy.random, after the evolution"),
}

SIZES = {True: (20, 30), False: (40, 60)}  # plans, generations
SEEDS, FAILING, SEED = range(8), 4, 6
NODES = 8
MINUTES = [20 + 7 * job % 41 for job in range(80)]
LEAST_ATTEMPTS = 3
LOST = 0.2  # part of the generations that cuts may cost: each costs the one that was being made


def grade(results: Mapping[str, Any]) -> Iterator[Check]:
    """Yield the checks of a student's results."""
    uncut = _reference(SEED, *SIZES[results["quick"]])
    yield from _seeds(results)
    yield from _attempts(results["attempts"], results["repeated"], len(uncut.logbook))
    hint = "a generation that is there twice, or is missing: the checkpoint has the number of the next one"
    yield close("logbook of an uncut run", _flat(results["logbook"]), _flat(uncut.logbook), hint)
    hint = "the state that goes on is that after a whole generation, and holds all that the next one needs"
    right = results["population"] == uncut.population
    found = "these" if right else f"{len(results['population'])} plans, not the same"
    expected = f"{len(uncut.population)} plans"
    yield Check("population of an uncut run", right, expected, found, hint)
    hint = "the checkpoint needs the states of both generators, random.getstate() and numpy.random.get_state()"
    yield close("random numbers of an uncut run", results["numbers_after"], uncut.after, hint)


def _seeds(results: Mapping[str, Any]) -> Iterator[Check]:
    processes = set(results["processes_of_seeds"])
    inside = results["script"] in processes or not processes
    hint = "hpcml.map_array(run_seed, SEEDS, …): without it the script runs all seeds itself"
    found = "the script" if inside else f"{len(processes)} processes"
    yield Check("seeds are jobs", not inside, "jobs run the seeds", found, hint)
    size, generations = SIZES[results["quick"]]
    expected = [_reference(seed, size, generations).logbook[-1][3] for seed in SEEDS]
    hint = "one result for each of SEEDS, in order"
    yield close("results of all seeds", results["best_of_seeds"], expected, hint)
    yield same("missing seed", results["missing_seeds"], [FAILING], "sorted(error.errors) of hpcml.ArrayFailed")
    hint = "resume=True runs only the seeds without a result, also after a cut"
    yield same("no seed runs twice", results["runs"], [1 + (seed == FAILING) for seed in SEEDS], hint)


def _attempts(rows: Sequence[Sequence[float]], repeated: int, generations: int) -> Iterator[Check]:
    """Yield the checks of what was cut: there are cuts, and these cost little."""
    whole_rows = [row for row in rows if len(row) == 4]
    made = [row[2] for row in whole_rows if row[2] >= 0]
    cut = len({row[0] for row in whole_rows})
    hint = "python start.py cuts two attempts; in a job, its time has to be shorter than the run"
    expected = f"{LEAST_ATTEMPTS} attempts or more"
    yield Check("cut and begun again", cut >= LEAST_ATTEMPTS, expected, f"{cut} attempts", hint)
    again = len(made) - len(set(made))
    hint = "without a checkpoint each attempt begins with generation 0"
    most = f"up to {LOST * generations:.0f} of {generations} generations made again"
    yield Check("work that is lost", again <= LOST * generations, most, f"{again} made again", hint)
    yield same("generations made twice", repeated, again, "the generations in notes, less the different ones")


def _flat(rows: Sequence[Sequence[float]]) -> list[float]:
    return [value for row in rows for value in row]


class _Evolution(NamedTuple):
    logbook: list[list[float]]
    population: list[list[int]]
    after: list[float]


@cache
def _reference(seed: int, size: int, generations: int) -> _Evolution:
    """Return an evolution in one process and one attempt, by DEAP's own loop."""
    import numpy as np
    from deap import algorithms, base, tools

    fitness = type("Least", (base.Fitness,), {"weights": (-1.0,)})
    toolbox = base.Toolbox()
    toolbox.register("evaluate", _last_end)
    toolbox.register("mate", tools.cxTwoPoint)
    toolbox.register("mutate", partial(_move_jobs, np.random))
    toolbox.register("select", tools.selTournament, tournsize=3)
    stats = tools.Statistics(lambda plan: plan.fitness.values[0])
    stats.register("avg", np.mean)
    stats.register("best", min)
    states = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    population = [_Plan(random.choices(range(NODES), k=len(MINUTES))) for _ in range(size)]
    for plan in population:
        plan.fitness = fitness()
    population, logbook = algorithms.eaSimple(population, toolbox, 0.5, 0.2, generations, stats, verbose=False)
    after = [random.random(), float(np.random.random())]
    random.setstate(states[0])
    np.random.set_state(states[1])
    rows = [[float(row[name]) for name in ("gen", "nevals", "avg", "best")] for row in logbook]
    return _Evolution(rows, [list(plan) for plan in population], after)


class _Plan(list[int]):
    """The node of each job, with the fitness that DEAP gives it."""

    fitness: Any


def _last_end(plan: Sequence[int]) -> tuple[float]:
    ends = [0] * NODES
    for node, minutes in zip(plan, MINUTES, strict=True):
        ends[node] += minutes
    return (float(max(ends)),)


def _move_jobs(generator: Any, plan: _Plan) -> tuple[_Plan]:
    for job in (generator.random(len(plan)) < 0.05).nonzero()[0]:
        plan[job] = int(generator.randint(NODES))
    return (plan,)
