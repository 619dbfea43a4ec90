"""Seconds until work continues after a fault, and the cost of a death every 3 s for a whole map.

    python faults.py hpcml SLOTS MEASURE…      prints {MEASURE: value, …} as JSON

recovery_killed       from the death of a worker until its task begins again
recovery_replaced     until another worker is in its place
recovery_frozen       from the moment when a worker is frozen until its task begins again
recovery_controller   from the death of the controller until tasks begin again
deaths_every_3s       wall time of a map with a worker killed every 3 s, over the time that perfect slots take

Each is the median of ROUNDS faults, but for the last. The driver is the job's script, beside the controller.
"""

import json
import os
import signal
import threading
import time
from pathlib import Path
from statistics import median

import psutil

import hpcml

ROUNDS = 3
TASKS, SECONDS = 720, 0.25  # of the map with deaths
HERE = Path.cwd()
CONTROLLER = "hpcml.engines.ipyparallel.controller"


def harmed(name: str, number: int) -> tuple[float, float]:
    """Harm this worker in the first call; return the times of the harm and of the second start."""
    began, mark = time.time(), HERE / name
    try:
        with mark.open("x") as file:
            file.write(str(began))
    except FileExistsError:
        return float(mark.read_text()), began
    os.kill(os.getpid(), number)
    time.sleep(60)
    raise AssertionError("this worker should have ended")


def recover(cluster: hpcml.Cluster, kind: str, number: int) -> tuple[float, float]:
    """Harm a worker; return the seconds until its task began again, and until all workers were there."""
    again, whole = [], []
    for attempt in range(ROUNDS):
        slots = cluster._session.workers.ready
        future = cluster.submit(harmed, f"{kind}-{attempt}", number)
        harm, began = future.result(60)
        while cluster._session.workers.ready < slots:
            time.sleep(0.01)
        again.append(began - harm)
        whole.append(time.time() - harm)
    return median(again), median(whole)


def stamp(_: int) -> float:
    """Return the start time of the task."""
    began = time.time()
    time.sleep(0.05)
    return began


def recover_controller(cluster: hpcml.Cluster) -> float:
    """Kill the controller during a map; return the seconds until tasks begin again."""
    found = []
    for _ in range(ROUNDS):
        futures = [cluster.submit(stamp, number) for number in range(600)]
        futures[100].result(60)
        family = [p for p in psutil.process_iter(["cmdline"]) if CONTROLLER in (p.info["cmdline"] or ())]
        killed = time.time()
        min(family, key=lambda process: process.create_time()).kill()
        begins = sorted(future.result(90) for future in futures)
        found.append(next(began for began in begins if began > killed + 0.5) - killed)
    return median(found)


def mortal(_: int) -> None:
    """Sleep; die, where this worker is chosen."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        time.sleep(0.01)
        try:
            (HERE / "order").unlink()
        except FileNotFoundError:
            continue
        os.kill(os.getpid(), signal.SIGKILL)


def with_deaths(cluster: hpcml.Cluster) -> float:
    """Order a death every 3 s during a map; return its wall time over the ideal."""
    over = threading.Event()

    def order() -> None:
        while not over.wait(3):
            (HERE / "order").touch()

    thread = threading.Thread(target=order)
    thread.start()
    began = time.monotonic()
    list(cluster.map(mortal, range(TASKS)))
    seconds = time.monotonic() - began
    over.set()
    thread.join()
    return seconds / (TASKS * SECONDS / cluster.slots)


def main() -> None:
    with hpcml.Cluster(progress=False) as cluster:
        list(cluster.map(stamp, range(48)))
        killed, replaced = recover(cluster, "killed", signal.SIGKILL)
        frozen, _ = recover(cluster, "frozen", signal.SIGSTOP)
        deaths = with_deaths(cluster)
        controller = recover_controller(cluster)
    print(
        json.dumps(
            {
                "recovery_killed": killed,
                "recovery_replaced": replaced,
                "recovery_frozen": frozen,
                "recovery_controller": controller,
                "deaths_every_3s": deaths,
            }
        )
    )


if __name__ == "__main__":
    main()
