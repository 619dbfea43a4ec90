"""Small tasks over MPI: no-ops in a map, one call after the other, joblib, and the start.

    python frames.py POOL SLOTS MEASURE…      prints {MEASURE: value, …} as JSON

POOL is hpcml (engine mpi), hpcml_ipyparallel (engine ipyparallel), mpi_futures (mpi4py.futures, a task a message),
mpi_futures_100 (100 tasks a message), or multiprocessing (Python's own pool, on this computer). The name of a
measure is what it measures, then the number of slots.
"""

import json
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from tasks import noop, pause

SHORTEST_MAP = 1.0  # seconds
FIRST_TASKS = 2_000
CALLS = 300
IDLE_SECONDS = 10.0
POPULATIONS = 11  # the first is not measured


def of_hpcml(engine: str, slots: int, names: list[str]) -> dict[str, float]:
    from joblib import Parallel, delayed, parallel_config

    import hpcml

    began = time.perf_counter()
    with hpcml.Cluster(engine, progress=False, slots_per_node=slots if slots == 4 else None) as cluster:
        assert cluster.slots == slots
        list(cluster.map(noop, range(slots)))
        values = {"frames_start": time.perf_counter() - began}
        if any("idle" in name for name in names):
            values["frames_idle"] = idle_share()
        values["frames_map"] = rate(lambda tasks: list(cluster.map(noop, range(tasks))))
        values["frames_call"] = call_time(lambda: cluster.submit(noop, 1).result())
        values["frames_population"] = population_share(cluster.map, slots)
        with parallel_config("hpcml"):
            values["frames_joblib"] = rate(lambda n: Parallel(n_jobs=-1)(delayed(noop)(i) for i in range(n)))
    return values


def of_futures(chunk: int, slots: int) -> dict[str, float]:
    """Measure mpi4py.futures; srun starts this program again, with a rank more than there are slots."""
    if not any(name in os.environ for name in ("PMIX_RANK", "OMPI_COMM_WORLD_RANK")):
        words = [sys.executable, "-m", "mpi4py.futures", *sys.argv]
        if slots == 4:
            os.execvp("mpiexec", ["mpiexec", "--allow-run-as-root", "--oversubscribe", "-n", "5", *words])
        step = ["srun", "--mpi=pmix", "--overcommit", "--overlap", "--mem=0", "--cpu-bind=none", f"-n{slots + 1}"]
        os.execvp("srun", [*step, *words])
    from mpi4py.futures import MPIPoolExecutor

    with MPIPoolExecutor() as executor:
        list(executor.map(noop, range(slots)))
        return {
            "frames_map": rate(lambda tasks: list(executor.map(noop, range(tasks), chunksize=chunk))),
            "frames_call": call_time(lambda: executor.submit(noop, 1).result()),
        }


def of_multiprocessing(slots: int) -> dict[str, float]:
    with multiprocessing.get_context("forkserver").Pool(slots) as pool:
        return {"frames_population": population_share(pool.map, slots)}


def population_share(map_: Callable[[Any, Any], Any], slots: int) -> float:
    """Return the time that perfect slots take for 1,000 tasks of 1 ms, over the median of the map's."""
    times = []
    for _ in range(POPULATIONS):
        began = time.perf_counter()
        list(map_(pause, [0.001] * 1000))
        times.append(time.perf_counter() - began)
    return 1000 * 0.001 / slots / statistics.median(times[1:])


def rate(run: Callable[[int], Any]) -> float:
    """Return the tasks per second of the first run that takes long enough."""
    tasks = FIRST_TASKS
    while True:
        began = time.perf_counter()
        run(tasks)
        seconds = time.perf_counter() - began
        if seconds >= SHORTEST_MAP:
            return tasks / seconds
        tasks = round(tasks * max(1.3, min(1.2 * SHORTEST_MAP / seconds, 10)))


def call_time(call: Callable[[], Any]) -> float:
    """Return the median time of a call, in ms."""
    times = []
    for _ in range(CALLS):
        began = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times)


def idle_share() -> float:
    """Return the most CPU time of a process of the MPI step here, in % of a core, while no task runs."""
    import psutil

    def of_step() -> dict[int, float]:
        found = {}
        for process in psutil.process_iter(["cmdline", "cpu_times"]):
            if "hpcml.engines.mpi.launcher" in (process.info["cmdline"] or []):
                found[process.pid] = sum(process.info["cpu_times"][:2])
        return found

    time.sleep(1)
    before = of_step()
    time.sleep(IDLE_SECONDS)
    after = of_step()
    return max(100 * (after[process] - before[process]) / IDLE_SECONDS for process in before)


def main(pool: str, slots: int, names: list[str]) -> None:
    if pool.startswith("mpi_futures"):
        values = of_futures(100 if pool.endswith("100") else 1, slots)
    elif pool == "multiprocessing":
        values = of_multiprocessing(slots)
    else:
        values = of_hpcml("mpi" if pool == "hpcml" else "ipyparallel", slots, names)
    print(json.dumps({name: values[name.rpartition("_")[0]] for name in names}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
