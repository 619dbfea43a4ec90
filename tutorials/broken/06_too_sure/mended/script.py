"""Broken job 6: pi from random points, with the error of the estimate."""

import argparse
import json
from pathlib import Path

import numpy as np

import hpcml

FAULT = "random"
POINTS = 10_000  # of each task
TASKS = 100


def estimate(seed):
    """Return the part of random points in a square that are in its circle, times 4."""
    points = np.random.default_rng(seed).random((POINTS, 2))
    return float(4 * np.mean((points**2).sum(axis=1) < 1))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="the same: this job is short")
    parser.parse_args()
    with hpcml.Cluster() as cluster:
        estimates = list(cluster.map(estimate, np.random.SeedSequence(6).spawn(TASKS)))
    results = {
        "fault": FAULT,
        "estimates": estimates,
        "pi": float(np.mean(estimates)),
        "error": float(np.std(estimates, ddof=1) / np.sqrt(len(estimates))),
    }
    Path("results").mkdir(exist_ok=True)
    Path("results/broken-06.json").write_text(json.dumps(results, indent=1))
    print(f"pi is {results['pi']:.5f} +- {results['error']:.5f}, from {TASKS * POINTS} points")


if __name__ == "__main__":
    main()
