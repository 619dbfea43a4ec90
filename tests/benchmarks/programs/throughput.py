"""Tasks per second, and the time of sleeping tasks beyond their sleep.

    python throughput.py POOL SLOTS MEASURE…      prints {MEASURE: value, …} as JSON

joblib_noop         tasks/s of joblib.Parallel over no-ops with automatic batches; the number of tasks grows
                    until a call takes two seconds, so the first call is its warm-up
map_sleep_10ms      wall time over the ideal, tasks * 10 ms / slots, after a warm-up with a tenth of the tasks
"""

import importlib
import json
import re
import sys
import time
from typing import Any

from joblib import Parallel, delayed
from tasks import noop, pause, same

SHORTEST_CALL = 2.0  # seconds
FIRST_TASKS = 20_000
# Seconds that the sleeping tasks would ideally take. A peer that needs a millisecond or more of one process
# for each task would take minutes for the 60 000 tasks of five seconds, to the same quotient.
IDEAL = 5.0
IDEAL_OF_PEERS = {0.001: 0.5, 0.01: 2.0}


def joblib_noop(pool: Any) -> float:
    """Return the tasks per second of the first call that takes long enough."""
    tasks = FIRST_TASKS
    with pool.joblib():
        Parallel(n_jobs=-1)(delayed(noop)(number) for number in range(tasks // 10))
        while True:
            began = time.perf_counter()
            Parallel(n_jobs=-1)(delayed(noop)(number) for number in range(tasks))
            seconds = time.perf_counter() - began
            if seconds >= SHORTEST_CALL:
                return tasks / seconds
            tasks = round(tasks * max(1.3, min(1.2 * SHORTEST_CALL / seconds, 10)))


def map_sleep(pool: Any, slots: int, seconds: float, ideal: float) -> float:
    """Return the wall time of a map over sleeping tasks, divided by the ideal."""
    tasks = round(ideal * slots / seconds)
    pool.map(pause, [seconds] * (tasks // 10))
    began = time.perf_counter()
    pool.map(pause, [seconds] * tasks)
    return (time.perf_counter() - began) / (tasks * seconds / slots)


def main(name: str, slots: int, measures: list[str]) -> None:
    values = {}
    with importlib.import_module(f"{name}_pool").open_pool(slots) as pool:
        pool.each(same)
        for measure in measures:
            if measure == "joblib_noop":
                values[measure] = joblib_noop(pool)
            else:
                seconds = int(re.fullmatch(r"map_sleep_(\d+)ms", measure).group(1)) / 1000
                ideal = IDEAL if name == "hpcml" else IDEAL_OF_PEERS.get(seconds, IDEAL)
                values[measure] = map_sleep(pool, slots, seconds, ideal)
    print(json.dumps(values))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
