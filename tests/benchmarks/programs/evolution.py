"""Generations of DEAP's own eaSimple, 1,000 individuals of 100 genes, ``toolbox.map`` being the pool's map.

evolution_10us              wall time of one process with Python's own map, over that of the pool; 10 us each, busy
evolution_1ms, _10ms        wall time that perfect slots would take, over that of the pool; 1 and 10 ms, asleep
steady_state                evaluations a second without generations, over those with; times spread from 1 to 10

The wall time is of evaluating alone: selection and variation are the same for all. Run by ``run``.
"""

import importlib
import json
import random
import sys
import time
from typing import Any

from deap import algorithms, base, creator, tools
from fitness import busy, ones_after_1ms, ones_after_10ms, uneven

GENERATIONS = {"evolution_10us": 8, "evolution_1ms": 6, "evolution_10ms": 3}
FITNESS = {"evolution_10us": busy, "evolution_1ms": ones_after_1ms, "evolution_10ms": ones_after_10ms}
SECONDS = {"evolution_1ms": 0.001, "evolution_10ms": 0.01}


def toolbox_of(map_: Any, fitness: Any) -> Any:
    toolbox = base.Toolbox()
    toolbox.register("evaluate", fitness)
    toolbox.register("mate", tools.cxTwoPoint)
    toolbox.register("mutate", tools.mutFlipBit, indpb=0.05)
    toolbox.register("select", tools.selTournament, tournsize=3)
    toolbox.register("map", map_)
    return toolbox


def population(number: int) -> list[Any]:
    random.seed(1)
    return [creator.Bits(random.choices((0, 1), k=100)) for _ in range(number)]


def evolve(map_: Any, measure: str) -> tuple[float, int]:
    """Return the wall time of all evaluations, and how many there were."""
    spent, count = 0.0, 0

    def timed(function: Any, individuals: list[Any]) -> list[Any]:
        nonlocal spent, count
        began = time.perf_counter()
        found = list(map_(function, individuals))
        spent, count = spent + time.perf_counter() - began, count + len(individuals)
        return found

    toolbox = toolbox_of(timed, FITNESS[measure])
    algorithms.eaSimple(population(1000), toolbox, 0.5, 0.2, GENERATIONS[measure], verbose=False)
    return spent, count


def quotient(pool: Any, slots: int, measure: str) -> float:
    evolve(pool.map, measure)  # the first call is not measured
    spent, count = evolve(pool.map, measure)
    if measure in SECONDS:
        return count * SECONDS[measure] / slots / spent
    return evolve(map, measure)[0] / spent


def steady_state(cluster: Any) -> float:
    """Return evaluations a second without generations, over those with; as many individuals as slots."""
    from hpcml import evolve as ours

    number = 8 * cluster.slots
    rates = []
    for generational in (True, False):
        people = population(cluster.slots)
        began, evaluated = time.perf_counter(), 0
        if generational:
            toolbox = toolbox_of(cluster.map, uneven)
            for generation in ours.generations(ours.EaMuPlusLambda(12, 12, 0.5, 0.5), toolbox, 12, people):
                evaluated += generation.evaluated
        else:
            for _ in ours.steady_state(toolbox_of(map, uneven), people, number, cluster):
                evaluated += 1
        rates.append(evaluated / (time.perf_counter() - began))
    return rates[1] / rates[0]


def main(name: str, slots: int, measures: list[str]) -> None:
    creator.create("Most", base.Fitness, weights=(1.0,))
    creator.create("Bits", list, fitness=creator.Most)
    with importlib.import_module(f"{name}_pool").open_pool(slots) as pool:
        found = {
            measure: steady_state(pool.cluster) if measure == "steady_state" else quotient(pool, slots, measure)
            for measure in measures
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
