"""Broken job 1: a program of the group's, run once for each seed."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import hpcml

FAULT = ""  # the word for the fault, see README.rst


def simulate(seed):
    """Return what the group's program prints for a seed: a mean, and the environment that it ran in."""
    words = ["python3", "simulate.py", str(seed)]
    done = subprocess.run(words, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="few seeds")
    seeds = range(4 if parser.parse_args().quick else 40)
    with hpcml.Cluster() as cluster:
        found = list(cluster.map(simulate, seeds))
    results = {
        "fault": FAULT,
        "means": [one["mean"] for one in found],
        "environment": sys.prefix,
        "environments": sorted({one["environment"] for one in found}),
    }
    Path("results").mkdir(exist_ok=True)
    Path("results/broken-01.json").write_text(json.dumps(results, indent=1))
    print(f"{len(found)} simulations, mean {sum(results['means']) / len(found):.4f}")


if __name__ == "__main__":
    main()
