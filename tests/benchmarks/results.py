"""Results of the benchmarks: medians, ratios and goals, as a table and as the files in results/."""

import json
import os
import platform
import time
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

from measures import MEASURES, Measure
from peers import HERE
from tabulate import tabulate

Values = defaultdict[str, defaultdict[str, list[float | str]]]  # by measure and pool; a word: it gave up
FOLDER = HERE / "results"


def no_values() -> Values:
    return defaultdict(lambda: defaultdict(list))


def gave_up(values: list[float | str]) -> str | None:
    """Return the word of a peer that gave up, in one repeat or all."""
    return next((value for value in values if isinstance(value, str)), None)


def machine(slurm: str, load: float) -> dict[str, Any]:
    """Return the machine of the figures, and its load before."""
    cpu = [line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
           if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {"cpu": cpu[0] if cpu else platform.machine(), "cores": len(os.sched_getaffinity(0)),
            "memory_gib": round(memory, 1), "system": f"{platform.system()} {platform.release()}",
            "python": platform.python_version(), "slurm": slurm,
            "load_before": round(load, 2), "date": time.strftime("%Y-%m-%d")}


def entries(measure: Measure, values: dict[str, list[float | str]]) -> list[dict[str, Any]]:
    """Return an entry for each peer that was measured or has a fixed value; none without a value of ours."""
    if not values.get("hpcml"):
        return []
    peers = {name: [limit] for name, limit in measure.limits.items()}
    peers |= {name: seen for name, seen in values.items() if name != "hpcml" and seen}
    return [_entry(measure, values["hpcml"], peer, seen) for peer, seen in peers.items()]


def _entry(measure: Measure, ours: list[float], peer: str, theirs: list[float | str]) -> dict[str, Any]:
    word = gave_up(theirs)
    ratio = None if word else median(ours) / median(theirs)
    goal = measure.goals.get(peer)
    return {"name": measure.name, "value": _short(median(ours)), "unit": measure.unit, "peer": peer,
            "peer_value": word or _short(median(theirs)), "ratio": None if ratio is None else _short(ratio),
            "goal": str(goal) if goal else None, "met": goal.met(ratio) if goal and ratio is not None else None,
            "values": [_short(value) for value in ours],
            "peer_values": [_short(value) for value in theirs]}


def _short(value: float | str) -> float | str:
    """Return four significant digits of a number, or a word unchanged."""
    return value if isinstance(value, str) else float(f"{value:.4g}")


def table(found: list[dict[str, Any]]) -> str:
    """Return the rows of the table: medians with the smallest and the largest value, ratio, goal."""
    verdict = {None: "", True: "yes", False: "NO"}
    rows = [[entry["name"], _spread(entry["values"]), entry["unit"], entry["peer"],
             _spread(entry["peer_values"]), "" if entry["ratio"] is None else f"{entry['ratio']:.3g}",
             entry["goal"] or "", verdict[entry["met"]]]
            for entry in found]
    head = ["name", "hpcml (min-max)", "unit", "peer", "peer (min-max)", "ratio", "goal", "met"]
    return tabulate(rows, head, disable_numparse=True)


def _spread(values: list[float | str]) -> str:
    """Return the median, with the range of several values, or the word of a peer that gave up."""
    if word := gave_up(values):
        return word
    middle = f"{median(values):.4g}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.4g}-{max(values):.4g})"


def write(name: str, found: list[dict[str, Any]], about: dict[str, Any]) -> None:
    """Keep the entries of one measure; the first also has machine and versions."""
    FOLDER.mkdir(exist_ok=True)
    first, *others = found
    temporary = FOLDER / f"{name}.json.{os.getpid()}"
    temporary.write_text(json.dumps([first | about, *others], indent=1) + "\n")
    temporary.replace(FOLDER / f"{name}.json")


def report(values: Values, about: dict[str, Any]) -> str:
    """Write the file of every measure that has values, and return the table of all."""
    found = []
    for measure in MEASURES:
        seen = entries(measure, values[measure.name])
        if seen:
            write(measure.name, seen, about)
        found += seen
    return table(found)
