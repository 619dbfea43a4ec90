"""Broken job 8: a table for each seed, by a job each, and then what all tables have together."""

import argparse
import csv
import json
from pathlib import Path

import numpy as np

import hpcml

FAULT = ""  # the word for the fault, see README.rst
ROWS = 20


def evaluate(seed, row):
    """Return a row of the table of a seed."""
    return seed, row, float(np.random.default_rng([seed, row]).normal())


def write_table(seed):
    """Write the table of a seed."""
    with hpcml.Cluster() as cluster:
        rows = list(cluster.map(evaluate, [seed] * ROWS, range(ROWS)))
    table = Path("tables/table.csv")
    table.parent.mkdir(exist_ok=True)
    part = table.with_name(f"part-{seed}")  # a table is whole, or not there
    with part.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    part.replace(table)
    print(f"seed {seed}: {len(rows)} rows are in {table}")


def collect():
    """Write the seeds of all tables, and the mean of each, into the results; remove the tables."""
    values = {}
    for table in sorted(Path("tables").glob("*.csv")):
        with table.open(newline="") as file:
            for seed, _, value in csv.reader(file):
                values.setdefault(int(seed), []).append(float(value))
        table.unlink()
    results = {
        "fault": FAULT,
        "seeds": sorted(values),
        "rows": [len(values[seed]) for seed in sorted(values)],
        "means": [sum(values[seed]) / len(values[seed]) for seed in sorted(values)],
    }
    Path("results").mkdir(exist_ok=True)
    Path("results/broken-08.json").write_text(json.dumps(results, indent=1))
    print(f"tables of {len(values)} seeds")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="the same: this job is short")
    parser.add_argument("--seed", type=int, default=1, help="of the table (1)")
    parser.add_argument("--collect", action="store_true", help="collect the tables of all seeds")
    arguments = parser.parse_args()
    if arguments.collect:
        collect()
    else:
        write_table(arguments.seed)


if __name__ == "__main__":
    main()
