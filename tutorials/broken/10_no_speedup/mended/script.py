"""Broken job 10: words that contain a part, in a large vocabulary."""

import argparse
import json
import random
from pathlib import Path

import hpcml

FAULT = "data"
PARTS = 40  # searched for, a task each


def make_words(count):
    """Return random words, by their numbers."""
    letters = random.Random(10)
    return {number: "".join(letters.choices("acgt", k=30)) for number in range(count)}


def count_words(part, words):
    """Return how many words of a broadcast contain a part."""
    return sum(part in word for word in words.value.values())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="few words")
    words = make_words(20_000 if parser.parse_args().quick else 500_000)
    letters = random.Random(11)
    parts = ["".join(letters.choices("acgt", k=6)) for _ in range(PARTS)]
    with hpcml.Cluster() as cluster:
        with cluster.broadcast(words) as handle:
            asked = [cluster.submit(count_words, part, handle) for part in parts]
            counts = [future.result() for future in asked]
        sent, nodes = cluster.sent_nbytes, len(cluster.hosts)
    results = {"fault": FAULT, "words": len(words), "counts": counts, "nodes": nodes, "sent_bytes": sent}
    Path("results").mkdir(exist_ok=True)
    Path("results/broken-10.json").write_text(json.dumps(results, indent=1))
    print(f"{sent / 1e6:.0f} MB were sent for {len(parts)} tasks")


if __name__ == "__main__":
    main()
