"""Exercise 8: a scaling study of a program, from the sweep to the number of slots that is worth its cost."""

import argparse
import csv
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np

import hpcml

SERIAL = 0.3  # part of the work that cannot be split
STEPS = 16  # of the part that can
TABLE = {1: 10.1, 2: 5.45, 4: 3.3, 8: 2.1, 16: 1.57}  # seconds by slots; the serial fraction is 0.1


def serial_program(seconds):
    """Do work of so many seconds; it sleeps, so that the cores of this computer do not matter."""
    time.sleep(SERIAL * seconds)
    for _ in range(STEPS):
        time.sleep((1 - SERIAL) * seconds / STEPS)


def parallel_program(seconds):
    """Do the same work, its steps as tasks of a Cluster. ``hpcml scaling`` runs this."""
    time.sleep(SERIAL * seconds)
    with hpcml.Cluster() as cluster:
        list(cluster.map(time.sleep, [(1 - SERIAL) * seconds / STEPS] * STEPS))


def sweep(options, folder, seconds):
    """Run ``hpcml scaling`` with options; return the rows of its CSV."""
    command = [sys.executable, "-m", "hpcml", "scaling", *options, "--directory", str(folder), __file__]
    subprocess.run([*command, "--program", str(seconds)], check=True)
    with (folder / "scaling.csv").open() as file:
        rows = list(csv.DictReader(file))
    times = ("seconds", "lowest", "highest", "start")
    counts = ("slots", "repeats")
    return [{name: int(row[name]) for name in counts} | {name: float(row[name]) for name in times} for row in rows]


def serial_fraction(slots, seconds):
    """Return the serial fraction f of Amdahl's law, T(p) = T(1) (f + (1 - f) / p), that fits measured times."""
    # TODO 4: fit T(p) = a + b / p to the times: the serial fraction is a / (a + b). See numpy.linalg.lstsq.
    columns = np.stack([np.ones(len(slots)), 1 / np.array(slots)], axis=1)
    (serial, parallel), *_ = np.linalg.lstsq(columns / np.array(seconds)[:, None], np.ones(len(slots)), rcond=None)
    return float(serial / (serial + parallel))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="a short program")
    parser.add_argument("--program", type=float, help="run the parallel program: so many seconds of work")
    arguments = parser.parse_args()
    if arguments.program is not None:
        parallel_program(arguments.program)
        return
    quick = arguments.quick
    seconds, folder = (1.0, Path("results/quick")) if quick else (6.0, Path("results/full"))
    folder.parent.mkdir(exist_ok=True)

    # TODO 1: measure each number of slots often enough for a median; in a job, on more slots, and more often.
    numbers_of_slots, repeats = ("1,2,4", "3") if quick else ("1,2,4,8,16", "5")
    rows = sweep(["--slots", numbers_of_slots, "--repeat", repeats], folder, seconds)

    serial_times = []
    for _ in range(rows[0]["repeats"]):
        began = time.monotonic()
        serial_program(seconds)
        serial_times.append(time.monotonic() - began)

    slots = [row["slots"] for row in rows]
    times = [row["seconds"] for row in rows]
    # TODO 2: choose T(1), the time that all others are compared with.
    baseline = median(serial_times)
    # TODO 3: speed-up and efficiency on each number of slots.
    speedups = [baseline / one for one in times]
    efficiencies = [speedup / count for speedup, count in zip(speedups, slots, strict=True)]
    fraction = serial_fraction(slots, times)
    # TODO 5: the most slots with an efficiency of 0.7 or more; 1 where there are none.
    worth = [count for count, efficiency in zip(slots, efficiencies, strict=True) if efficiency >= 0.7]
    stop = max(worth, default=1)

    results = {
        "quick": quick,
        "slots": slots,
        "repeats": [row["repeats"] for row in rows],
        "seconds": times,
        "serial_seconds": serial_times,
        "baseline": baseline,
        "speedups": speedups,
        "efficiencies": efficiencies,
        "serial_fraction": fraction,
        "table_fraction": serial_fraction(list(TABLE), list(TABLE.values())),
        "stop": stop,
    }
    Path("results/08.json").write_text(json.dumps(results, indent=1))
    draw(rows, results)


def draw(rows, results):
    """Draw time, speed-up and efficiency over the slots."""
    from matplotlib import pyplot as plt

    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(15, 4.5), layout="constrained")
    slots, fraction = np.array(results["slots"]), results["serial_fraction"]
    law = fraction + (1 - fraction) / slots
    ranges = [[row["seconds"] - row["lowest"] for row in rows], [row["highest"] - row["seconds"] for row in rows]]
    left.errorbar(slots, results["seconds"], ranges, fmt="ko", capsize=4, label="median and range")
    left.plot(slots, results["seconds"][0] * law, "k--", label=f"Amdahl, serial fraction {fraction:.2f}")
    left.plot(slots, [row["start"] for row in rows], "^:", color="grey", label="start of the workers")
    left.axhline(results["baseline"], color="grey", linewidth=1, label="baseline")
    left.set(ylabel="time (s)", title="time, without the start", ylim=(0, None))
    middle.plot(slots, results["speedups"], "ko", label="measured")
    middle.plot(slots, results["baseline"] / results["seconds"][0] / law, "k--", label="Amdahl")
    middle.plot(slots, slots, ":", color="grey", label="ideal")
    middle.set(ylabel="speed-up", title="speed-up", ylim=(0, None))
    right.plot(slots, results["efficiencies"], "ko-", label="measured")
    right.axhline(0.7, color="grey", linestyle=":", label="0.7")
    right.axvline(results["stop"], color="black", linestyle="--", label="where to stop")
    right.set(ylabel="efficiency", title="efficiency", ylim=(0, 1.1))
    for axes in (left, middle, right):
        axes.set_xscale("log", base=2)
        axes.set(xlabel="slots", xticks=slots, xticklabels=slots)
        axes.legend()
    figure.savefig("results/08.png", dpi=100)


if __name__ == "__main__":
    main()
