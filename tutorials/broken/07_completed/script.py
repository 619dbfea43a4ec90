"""Broken job 7: the trend of each of six recordings."""

import argparse
import json
from pathlib import Path

import numpy as np

import hpcml

FAULT = ""  # the word for the fault, see README.rst
RECORDINGS = 6


def read_recording(number, unreadable):
    """Return a recording; one of them may be unreadable, as after a full disk."""
    if number == unreadable:
        raise ValueError(f"recording {number} ends after 17 of 1000 values")
    return np.random.default_rng(number).normal(size=1000).cumsum()


def trend(number, unreadable):
    """Return the slope of a recording."""
    recording = read_recording(number, unreadable)
    return float(np.polyfit(np.arange(len(recording)), recording, 1)[0])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="the same: this job is short")
    parser.add_argument("--broken", action="store_true", help="make a recording unreadable")
    unreadable = 3 if parser.parse_args().broken else None
    with hpcml.Cluster() as cluster:
        trends = list(cluster.map(trend, range(RECORDINGS), [unreadable] * RECORDINGS))
    Path("results").mkdir(exist_ok=True)
    Path("results/broken-07.json").write_text(json.dumps({"fault": FAULT, "trends": trends}, indent=1))
    print(f"{len(trends)} trends")


if __name__ == "__main__":
    main()
