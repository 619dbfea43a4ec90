"""Grader of exercise 5: evolves the student's first populations in one process, and compares."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hpcml.commands.tutorial.checks import Check, same
from hpcml.commands.tutorial.results import flag, table, text, texts, whole

__all__ = ["FIELDS", "grade"]

FIELDS = {
    "quick": flag("whether the islands are small and the epochs few, --quick"),
    "slots": whole("slots of the Cluster"),
    "script": text("name of the script's process"),
    "demes": table("first population of each island, each individual as the number that its bits are"),
    "processes_by_map": texts("names of the processes that evolved islands as tasks"),
    "best_by_map": table("best fitness of each generation, for each island"),
    "last_by_map": table("last population of each island, as numbers"),
    "ranks": whole("ranks that have returned islands"),
    "ranks_agree": flag("whether all ranks have returned the same"),
    "processes_by_mpi": texts("names of the processes that evolved the islands of the first rank's result"),
    "best_by_mpi": table("as best_by_map, by MPI"),
    "last_by_mpi": table("as last_by_map, by MPI"),
    "migrants": whole("individuals that were sent to another island, in all"),
}

SEED, ISLANDS, BITS, EVERY, MIGRANTS = 5, 4, 40, 5, 2
SIZES = {True: (20, 6), False: (60, 12)}  # individuals of an island, and epochs

Table = Sequence[Sequence[float]]


def grade(results: Mapping[str, Any]) -> Iterator[Check]:
    """Yield the checks of a student's results."""
    size, epochs = SIZES[results["quick"]]
    demes = results["demes"]
    complete = len(demes) == ISLANDS and all(map(_is_deme, demes, [size] * ISLANDS))
    different = len({tuple(sorted(deme)) for deme in demes}) == len(demes)
    yield Check(
        "first populations differ",
        complete and different,
        f"{ISLANDS} islands of {size} individuals of {BITS} bits, no two islands alike",
        f"{len(demes)} islands" + ("" if different else ", some of them alike"),
        "islands that begin alike search the same places: seed once, then make all first populations",
    )
    if not complete:
        return
    best, last = _reference(demes, epochs)
    by_map = set(results["processes_by_map"])
    hint = "toolbox.register('map', cluster.map): without it the script evolves all islands itself"
    found = "the script" if results["script"] in by_map else f"{len(by_map)} workers"
    yield Check("islands are tasks", bool(by_map) and found != "the script", "workers evolve them", found, hint)
    yield _equal("islands by map", results["best_by_map"], results["last_by_map"], best, last)
    yield from _on_ranks(results)
    yield _equal("islands by MPI", results["best_by_mpi"], results["last_by_mpi"], best, last)
    hint = "each island sends so many after each epoch but the last"
    yield same("migrants", results["migrants"], ISLANDS * MIGRANTS * (epochs - 1), hint)


def _on_ranks(results: Mapping[str, Any]) -> Iterator[Check]:
    """Yield the checks that all ranks run, and that each evolves its share."""
    hint = "cluster.comm_map(run_on_rank, demes, epochs) returns the result of each rank"
    yield same("every rank returns", results["ranks"], results["slots"], hint)
    expected, found = min(ISLANDS, results["slots"]), len(set(results["processes_by_mpi"]))
    yield Check(
        "ranks share the islands",
        found == expected and results["ranks_agree"],
        f"islands of {expected} ranks, the same on all",
        f"of {found}" + ("" if results["ranks_agree"] else ", others on other ranks"),
        "without comm each rank evolves all islands by itself",
    )


def _is_deme(deme: Sequence[Any], size: int) -> bool:
    return len(deme) == size and all(type(one) is int and 0 <= one < 2**BITS for one in deme)


def _equal(name: str, best: Table, last: Table, true_best: Table, true_last: Table) -> Check:
    """Check the history of the islands and their last populations, to the bit."""
    pairs = list(zip(best, true_best, strict=False))
    first = min((_first_difference(*pair) for pair in pairs), default=0)
    right = list(best) == list(true_best) and list(last) == list(true_last)
    return Check(
        name,
        right,
        f"{len(true_best)} islands as in one process, to the bit",
        "these" if right else f"{len(best)} islands, equal for {first} of {len(true_best[0])} generations",
        "the same seed gives the same islands, wherever they run: leave SEED and the steps as they are",
    )


def _first_difference(one: Sequence[float], other: Sequence[float]) -> int:
    equal = [a == b for a, b in zip(one, other, strict=False)]
    return equal.index(False) if False in equal else len(equal)


def _reference(demes: Sequence[Sequence[int]], epochs: int) -> tuple[list[list[float]], list[list[int]]]:
    """Return the best of each generation and the last population, for each island, evolved in this process."""
    from deap import base, tools

    from hpcml import evolve

    class _Most(base.Fitness):  # type: ignore[misc]
        weights = (1.0,)

    class _Bits(list[int]):
        def __init__(self, bits: Any) -> None:
            super().__init__(bits)
            self.fitness = _Most()

    toolbox = base.Toolbox()
    toolbox.register("evaluate", _count_traps)
    toolbox.register("mate", tools.cxTwoPoint)
    toolbox.register("mutate", tools.mutFlipBit, indpb=1 / BITS)
    toolbox.register("select", tools.selTournament, tournsize=3)
    stats = tools.Statistics(lambda bits: bits.fitness.values[0])
    stats.register("best", max)
    populations = [[_Bits(map(int, f"{number:0{BITS}b}")) for number in deme] for deme in demes]
    options: dict[str, Any] = {"every": EVERY, "migrants": MIGRANTS, "seed": SEED, "stats": stats}
    *_, end = evolve.islands(evolve.EaSimple(0.7, 0.3), toolbox, populations, EVERY * epochs, **options)
    best = [island.logbook.select("best") for island in end.islands]
    return best, [[int("".join(map(str, bits)), 2) for bits in population] for population in end.populations]


def _count_traps(bits: Sequence[int]) -> tuple[float]:
    ones = [sum(bits[first : first + 5]) for first in range(0, BITS, 5)]
    return (float(sum(5 if count == 5 else 4 - count for count in ones)),)
