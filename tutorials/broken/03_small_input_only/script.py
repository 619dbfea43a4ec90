"""Broken job 3: mean distance of points to their nearest neighbours, in several clouds."""

import argparse
import json
import resource
from pathlib import Path

import numpy as np

import hpcml

FAULT = ""  # the word for the fault, see README.rst


def mean_distance(seed, count):
    """Return the mean distance to the nearest neighbour in a cloud of points, and the peak memory (MB) so far."""
    points = np.random.default_rng(seed).normal(size=(count, 2))
    squares = ((points[:, None] - points) ** 2).sum(axis=2)
    np.fill_diagonal(squares, np.inf)
    mean = np.sqrt(squares.min(axis=1)).mean()
    return float(mean), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000


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
