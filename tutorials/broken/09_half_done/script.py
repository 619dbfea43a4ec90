"""Broken job 9: measurements that each take their time."""

import argparse
import json
import time
from pathlib import Path

import hpcml

FAULT = ""  # the word for the fault, see README.rst


def measure(number, seconds):
    """Return a measurement, which takes so many seconds."""
    time.sleep(seconds)
    return number**2


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="short measurements")
    count, seconds = (24, 1.0) if parser.parse_args().quick else (6, 20.0)
    with hpcml.Cluster() as cluster:
        found = list(cluster.map(measure, range(count), [seconds] * count))
    Path("results").mkdir(exist_ok=True)
    results = {"fault": FAULT, "count": count, "measurements": found}
    Path("results/broken-09.json").write_text(json.dumps(results, indent=1))
    print(f"{len(found)} measurements")


if __name__ == "__main__":
    main()
