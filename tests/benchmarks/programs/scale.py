"""Frames that the driver and one relay of engine mpi sustain, and slots that they keep busy, by simulation.

    python scale.py POOL SLOTS MEASURE…      prints {MEASURE: value, …} as JSON

scale_driver              frames/s of one task that a core sustains: of the driver, and beside it of the relay that
                          has the link; by their CPU time, while calls of 2 ms are submitted one by one
scale_1s, _10s, _100s     slots that are busy for 0.9 of the time, simulated with tasks of 1, 10 and 100 s

The simulation has ten tasks for each slot, two of them at the worker. Each frame passes the driver and the relay
there and back; each of the two serves one frame at a time. A tree of relays pays where the relay is the slower.
"""

import heapq
import json
import sys
import threading
import time
from pathlib import Path

from tasks import pause

SECONDS = 8.0
TASKS = 10  # for each slot
CREDIT = 2
SLOTS = (100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000)
BUSY = 0.9
LAUNCHER = "hpcml.engines.mpi.launcher"
TO_RELAY, TO_WORKER, BACK_AT_RELAY, BACK_AT_DRIVER = range(4)


def relay_seconds() -> float:
    """Return the CPU time of the relay of this node: the launcher's first child, which its workers follow."""
    words = {path.parent: path.read_text().split("\0") for path in Path("/proc").glob("[0-9]*/cmdline")}
    found = [path for path, argv in words.items() if LAUNCHER in argv and "python" in argv[0]]
    parents = {int(path.name): int((path / "stat").read_text().rpartition(")")[2].split()[1]) for path in found}
    relay = min(pid for pid, parent in parents.items() if parent in parents)
    return int(Path(f"/proc/{relay}/schedstat").read_text().split()[0]) / 1e9


def costs() -> tuple[float, float]:
    """Return the seconds of CPU time that a frame takes in the driver, and in its relay."""
    import hpcml

    with hpcml.Cluster("mpi", progress=False) as cluster:
        free = threading.Semaphore(CREDIT * cluster.slots)

        def _submit_for(seconds: float) -> int:
            number, end = 0, time.perf_counter() + seconds
            while time.perf_counter() < end:
                free.acquire()
                cluster.submit(pause, 0.002).add_done_callback(lambda _: free.release())
                number += 1
            return number

        _submit_for(1.0)
        driver, relay = time.process_time(), relay_seconds()
        number = _submit_for(SECONDS)
        return (time.process_time() - driver) / number, (relay_seconds() - relay) / number


def busy_share(slots: int, seconds: float, driver: float, relay: float) -> float:
    """Return the share of the time in which workers are busy, from the first frame to the last outcome."""
    events = [(0.0, number, TO_RELAY) for number in range(CREDIT * slots)]  # sorted, so a heap
    events = [(at, number % slots, kind) for at, number, kind in events]
    left = [TASKS - CREDIT] * slots
    workers_free = [0.0] * slots
    driver_free = relay_free = 0.0
    while events:
        at, slot, kind = heapq.heappop(events)
        if kind in (TO_RELAY, BACK_AT_DRIVER):
            at = driver_free = max(at, driver_free) + driver / 2
        elif kind == TO_WORKER:
            relay_free = max(at, relay_free) + relay / 2
            at = workers_free[slot] = max(relay_free, workers_free[slot]) + seconds
        else:
            at = relay_free = max(at, relay_free) + relay / 2
        if kind != BACK_AT_DRIVER:
            heapq.heappush(events, (at, slot, kind + 1))
        elif left[slot]:
            left[slot] -= 1
            heapq.heappush(events, (at, slot, TO_RELAY))
    return TASKS * seconds / driver_free


def most_slots(seconds: float, driver: float, relay: float) -> int:
    """Return the most slots of `SLOTS` that are busy enough; 0 where none are."""
    found = 0
    for slots in SLOTS:
        share = busy_share(slots, seconds, driver, relay)
        print(f"{slots:7,} slots, tasks of {seconds:g} s: busy for {share:.2f} of the time", file=sys.stderr)
        if share < BUSY:
            break
        found = slots
    return found


def main(names: list[str]) -> None:
    driver, relay = costs()
    values = {"scale_driver": 1 / driver, "scale_driver relay": 1 / relay}
    for name in names:
        if name.endswith("s"):
            values[name] = most_slots(float(name.removeprefix("scale_").removesuffix("s")), driver, relay)
    print(json.dumps(values))


if __name__ == "__main__":
    main(sys.argv[3:])
