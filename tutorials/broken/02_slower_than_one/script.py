"""Broken job 2: eigenvalues of random matrices."""

import argparse
import json
import os
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_info

import hpcml

FAULT = ""  # the word for the fault, see README.rst
SIZE = 200


def largest_eigenvalue(seed):
    """Return the largest eigenvalue of a random symmetric matrix, and the threads of the library that found it."""
    matrix = np.random.default_rng(seed).normal(size=(SIZE, SIZE))
    largest = np.linalg.eigvalsh(matrix + matrix.T)[-1]
    threads = max((pool["num_threads"] for pool in threadpool_info()), default=1)
    return float(largest), threads


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="few matrices")
    seeds = range(24 if parser.parse_args().quick else 2000)
    with hpcml.Cluster() as cluster:
        found = list(cluster.map(largest_eigenvalue, seeds))
    results = {
        "fault": FAULT,
        "cpus_per_task": int(os.environ.get("SLURM_CPUS_PER_TASK", "1")),
        "threads": max(threads for _, threads in found),
        "eigenvalues": [value for value, _ in found],
    }
    Path("results").mkdir(exist_ok=True)
    Path("results/broken-02.json").write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
