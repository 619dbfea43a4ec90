"""The school's pi by SCOOP: points in a square, counted by tasks that need nothing of each other.

hpcml run --max-slots 4 pi.py          writes pi_4.json; pi_plot.py draws all such files
"""

import argparse
import json
import random
import time

import scoop
from scoop import futures


def count_inside(seed, tries):
    """Return how many points of a square are in the circle inside."""
    numbers = random.Random(seed)
    return sum(numbers.random() ** 2 + numbers.random() ** 2 < 1 for _ in range(tries))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tasks", type=int, default=3000)
    parser.add_argument("--tries", type=int, default=50_000, help="points of a task")
    options = parser.parse_args()
    list(futures.map(count_inside, range(64), [1] * 64))  # all workers have started
    began = time.perf_counter()
    inside = sum(futures.map(count_inside, range(options.tasks), [options.tries] * options.tasks))
    seconds = time.perf_counter() - began
    workers = scoop.SIZE if scoop.IS_RUNNING else 1
    value = 4 * inside / (options.tasks * options.tries)
    with open(f"pi_{workers}.json", "w") as file:
        json.dump({"workers": workers, "seconds": seconds, "inside": inside, "pi": value}, file)
    print(f"pi {value:.6f}, {workers} workers, {seconds:.2f} s")


if __name__ == "__main__":
    main()
