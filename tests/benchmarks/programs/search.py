"""Search of 24 linear fits over one data set, by joblib: its time, network bytes and memory.

    python search.py POOL SLOTS MEASURE…      prints {MEASURE: value, …} as JSON, of the measures

search_seconds_SIZEmb     wall time of the search; the workers being there, scikit-learn imported, the data made
search_received_SIZEmb    bytes that came over the network to the node that received most, over those of the data
search_driver_SIZEmb      by how much this process' resident memory at its largest exceeded that before the data
                          was made, over the bytes of the data
search_memory_SIZEmb…     by how much the job's memory on a node (see nodes.py) at its largest exceeded that
                          before the search, on the node where that was most, over the bytes of the data

Besides it prints received_HOST and memory_HOST in MB, for the largest SIZE. It wants to run on the first node, as
a batch script does: that node gets its data from itself, and the others show the bytes that a node receives.
"""

import importlib
import json
import re
import sys
import time
from typing import Any

import ridge
import watch
from joblib import Parallel, delayed
from warm import every_slot


def search(pool: Any, slots: int, samples: Any, values: Any) -> list[Any]:
    """Fit with every alpha; a pool that sends the data beforehand does so here."""
    with pool.joblib(samples, values):
        return Parallel(n_jobs=slots)(delayed(ridge.fit)(samples, values, alpha) for alpha in ridge.ALPHAS)


def measured(pool: Any, slots: int, nodes: watch.Nodes, size: int, sample: bool) -> dict[str, float]:
    """Return all figures for data of `size` MB, and those of each node."""
    before = watch.resident()
    samples, values = ridge.data(round(size * 1e6 / 8 / ridge.COLUMNS))
    total = samples.nbytes + values.nbytes
    watch.forget_peak()
    with nodes.watching(sample) as seen:
        began = time.perf_counter()
        found = search(pool, slots, samples, values)
        seconds = time.perf_counter() - began
    ridge.check(found)
    figures = {f"search_seconds_{size}mb": seconds, f"search_driver_{size}mb": (watch.peak() - before) / total}
    for what in ("received", "memory") if sample else ("received",):
        figures[f"search_{what}_{size}mb"] = max(node[what] for node in seen) / total
        figures |= {f"{what}_{node['host']}": node[what] / 1e6 for node in seen}
    return figures


def main(name: str, slots: int, measures: list[str]) -> None:
    wanted = {measure: re.fullmatch(r"(search_\w+?_(\d+)mb)\w*", measure) for measure in measures}
    sizes = sorted({int(match.group(2)) for match in wanted.values()})
    sample = any(measure.startswith("search_memory") for measure in measures)
    ridge.check_no_copy()
    figures: dict[str, float] = {}
    with importlib.import_module(f"{name}_pool").open_pool(slots) as pool, watch.open_nodes() as nodes:
        every_slot(pool, slots, ridge.warm)
        search(pool, slots, *ridge.warm_data())
        for size in sizes:
            figures |= measured(pool, slots, nodes, size, sample)
    of_nodes = {key: value for key, value in figures.items() if not key.startswith("search_")}
    print(json.dumps({measure: figures[match.group(1)] for measure, match in wanted.items()} | of_nodes))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
