"""Broken job 4: the sum of many rows, a share of them for each task of the job."""

import argparse
import json
import os
import re
from pathlib import Path

import numpy as np

import hpcml

FAULT = ""  # the word for the fault, see README.rst
LAYOUT = "3,1"  # SLURM_TASKS_PER_NODE of the job; also without Slurm


def tasks_of_nodes(layout):
    """Return the number of tasks on each node: "3(x2),1" is [3, 3, 1]."""
    parts = re.findall(r"(\d+)(?:\(x(\d+)\))?", layout)
    return [int(tasks) for tasks, nodes in parts for _ in range(int(nodes or 1))]


def share_of(node, local, counts):
    """Return the number of the share of a task, from its node and its number on that node."""
    return node * (sum(counts) // len(counts)) + local


def sum_rows(node, local, share, shares, count):
    """Return the sum of every so many rows, from a first row on."""
    print(f"node {node}, task {local}: share {share} of {shares}")
    rows = np.arange(count, dtype=float) ** 2
    return float(rows[share::shares].sum())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="few rows")
    count = 10_000 if parser.parse_args().quick else 1_000_000
    layout = os.environ.get("SLURM_TASKS_PER_NODE", LAYOUT)
    counts = tasks_of_nodes(layout)
    places = [(node, local) for node, tasks in enumerate(counts) for local in range(tasks)]
    shares = [share_of(node, local, counts) for node, local in places]
    with hpcml.Cluster() as cluster:
        asked = [
            cluster.submit(sum_rows, node, local, share, len(places), count)
            for (node, local), share in zip(places, shares, strict=True)
        ]
        sums = [future.result() for future in asked]
    results = {"fault": FAULT, "tasks_per_node": layout, "rows": count, "shares": shares, "sum": sum(sums)}
    Path("results").mkdir(exist_ok=True)
    Path("results/broken-04.json").write_text(json.dumps(results, indent=1))
    print(f"sum of {count} rows: {sum(sums):.6g}")


if __name__ == "__main__":
    main()
