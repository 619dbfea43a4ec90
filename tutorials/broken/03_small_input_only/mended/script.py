"""Broken job 3: mean distance of points to their nearest neighbours, in several clouds."""

import argparse
import json
import resource
from pathlib import Path

import numpy as np

import hpcml

FAULT = "memory"
ROWS = 100  # whose distances are in memory at once


def mean_distance(seed, count):
    """Return the mean distance to the nearest neighbour in a cloud of points, and the peak memory (MB) so far."""
    points = np.random.default_rng(seed).normal(size=(count, 2))
    nearest = np.empty(count)
    for first in range(0, count, ROWS):
        rows = points[first : first + ROWS]
        differences = rows[:, None] - points
        squares = differences[..., 0] ** 2 + differences[..., 1] ** 2
        squares[np.arange(len(rows)), np.arange(first, first + len(rows))] = np.inf  # a point is no neighbour
        nearest[first : first + ROWS] = squares.min(axis=1)
    return float(np.sqrt(nearest).mean()), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="two clouds")
    parser.add_argument("--points", type=int, default=12_000, help="points of each cloud (12000)")
    arguments = parser.parse_args()
    clouds = range(2 if arguments.quick else 20)
    with hpcml.Cluster() as cluster:
        found = list(cluster.map(mean_distance, clouds, [arguments.points] * len(clouds)))
    results = {
        "fault": FAULT,
        "points": arguments.points,
        "means": [mean for mean, _ in found],
        "peak_mb": max(peak for _, peak in found),
    }
    Path("results").mkdir(exist_ok=True)
    Path("results/broken-03.json").write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
