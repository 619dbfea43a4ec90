"""Exercise 2: many tasks over the same data, which each node needs once."""

import argparse
import json
import os
import socket
import time
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

import hpcml


def make_recordings(count):
    """Return so many recordings of different lengths, 8 kB each on average."""
    random = np.random.default_rng(2)
    return [random.normal(size=length).cumsum() for length in random.integers(500, 1500, count)]


def autocorrelation(recordings, lag):
    """Return the mean autocorrelation of the recordings at a lag."""
    return float(np.mean([one[:-lag] @ one[lag:] / (one @ one) for one in recordings]))


def place_of(array):
    """Return host and file of which an array's memory is a map, as Linux says; else host and process."""
    address = array.__array_interface__["data"][0]
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, _, _, _, _, *path = line.split(maxsplit=5)
        begin, end = (int(number, 16) for number in span.split("-"))
        if begin <= address < end and path and path[0].startswith("/"):
            return f"{socket.gethostname()} {path[0]}"
    return f"{socket.gethostname()} process {os.getpid()}"


def evaluate(recordings, lag):
    """Return the autocorrelation at a lag, and the place of the recordings in this task."""
    return autocorrelation(recordings, lag), place_of(recordings[0])


def send_in_each(cluster, recordings, lags):
    """Evaluate all lags, and send the recordings with each task."""
    return list(cluster.map(evaluate, [recordings] * len(lags), lags))


def send_once(cluster, recordings, lags):
    """Evaluate all lags, and send the recordings to each node once."""
    # TODO 1: join the recordings into one array, np.concatenate, and note where each ends, np.cumsum: without the
    # last end these are the places for np.split, which makes the recordings of the array, and copies nothing.
    joined, ends = np.concatenate(recordings), np.cumsum([len(one) for one in recordings])
    # TODO 2: put both on the nodes, `with cluster.broadcast(…) as handle:`, and send the handle with each lag.
    with cluster.broadcast((joined, ends[:-1])) as handle:
        return list(cluster.map(evaluate, [np.split(*handle.value)] * len(lags), lags))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="8 MB in place of 64 MB")
    quick = parser.parse_args().quick
    recordings = make_recordings(1000 if quick else 8000)
    size = sum(one.nbytes for one in recordings)
    tasks = [2, 4, 8] if quick else [2, 4, 8, 16, 32]

    with hpcml.Cluster() as cluster:
        nodes = len(cluster.hosts)
        in_each = [measure(cluster, send_in_each, recordings, count) for count in tasks]
        once = [measure(cluster, send_once, recordings, count) for count in tasks]
    # TODO 3: compute the bytes that 1000 tasks over these recordings would have sent, in each of the two ways.
    thousand = [1000 * size, nodes * size]

    found = once[-1][2]
    results = {
        "quick": quick,
        "nodes": nodes,
        "bytes_of_recordings": size,
        "tasks": tasks,
        "bytes_in_each": [nbytes for nbytes, _, _ in in_each],
        "bytes_once": [nbytes for nbytes, _, _ in once],
        "seconds_in_each": [seconds for _, seconds, _ in in_each],
        "seconds_once": [seconds for _, seconds, _ in once],
        "bytes_of_1000_tasks": thousand,
        "scores": [score for score, _ in found],
        "places": sorted({place for _, place in found}),
    }
    Path("results").mkdir(exist_ok=True)
    Path("results/02.json").write_text(json.dumps(results, indent=1))
    draw(results)


def measure(cluster, send, recordings, count):
    """Return the bytes that so many tasks have sent, their seconds, and what they have returned."""
    nbytes, began = cluster.sent_nbytes, time.perf_counter()
    found = send(cluster, recordings, range(1, count + 1))
    return cluster.sent_nbytes - nbytes, time.perf_counter() - began, found


def draw(results):
    """Draw bytes and seconds over the number of tasks."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.5), layout="constrained")
    for way, marks, label in (("in_each", "ko-", "in each task"), ("once", "k^--", "once to each node")):
        left.plot(results["tasks"], np.array(results[f"bytes_{way}"]) / 1e6, marks, label=label)
        right.plot(results["tasks"], results[f"seconds_{way}"], marks, label=label)
    left.set(xlabel="tasks", ylabel="MB sent", title="bytes of the recordings", ylim=(0, None))
    right.set(xlabel="tasks", ylabel="seconds", title="time until the last result", ylim=(0, None))
    for axes in (left, right):
        axes.legend(title="the recordings are sent")
    figure.savefig("results/02.png", dpi=100)


if __name__ == "__main__":
    main()
