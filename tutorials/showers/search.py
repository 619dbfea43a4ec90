"""A search over trainings of several ranks each: a trial that is stopped early leaves its ranks to the next one.

The ranks of `hpcml run --engine torch` are divided into groups of two. A free group takes the next trial.
"""

import argparse
import json
import time
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from gan import Settings, events_of, networks, quality, train_own
from tabulate import tabulate

RANKS = 2  # of a trial
WAIT = timedelta(days=1)  # for the slowest group, at the end; hpcml ends all ranks where one is lost
TRIALS = [
    {"rate": rate, "generator_rate": ratio * rate, "width": width}
    for width in (96, 192)
    for rate in (1e-2, 1e-3, 1e-4)
    for ratio in (1.0, 0.1)
]


class Board:
    """Numbers that all ranks see, in torch's store, which rank 0 holds."""

    def __init__(self, store):
        self.store = store

    def next_trial(self):
        """Return the number of a trial that no other group has got, from 0."""
        return self.store.add("trials", 1) - 1

    def is_worth_it(self, epoch, distance):
        """Return whether a distance is in the better half of those that trials had after the same epoch.

        The first trial that gets so far goes on: this is asynchronous successive halving (Li et al., 2020,
        arXiv:1810.05934), in which no trial waits for others.
        """
        count = self.store.add(f"epoch {epoch}", 1)
        self.store.set(f"epoch {epoch}, {count}", str(distance))
        seen = sorted(float(self.store.get(f"epoch {epoch}, {number}")) for number in range(1, count + 1))
        return distance <= seen[(count - 1) // 2]


def from_first(value, group):
    """Return the number of the group's first rank, on all its ranks."""
    number = torch.tensor([float(value)], dtype=torch.float64)
    dist.broadcast(number, dist.get_global_rank(group, 0), group=group)
    return number.item()


def run_trials(board, group, epochs, count):
    """Run trials on a group of ranks until none is left; return a row for each."""
    began, rows = time.perf_counter(), []
    is_first = dist.get_rank(group) == 0
    events = events_of(dist.get_rank(group), dist.get_world_size(group))
    while (number := int(from_first(board.next_trial() if is_first else 0, group))) < count:
        start = time.perf_counter() - began
        settings = Settings(epochs=epochs, **TRIALS[number])
        generator, critic = networks(settings)
        for done, _ in enumerate(train_own(generator, critic, events, settings, group), 1):
            goes_on = True
            if done & (done - 1) == 0 or done == epochs:  # after 1, 2, 4, 8, ... epochs
                mean = quality(generator, 1000)[0] if is_first else 0.0
                goes_on = from_first(is_first and board.is_worth_it(done, mean), group)
            if not goes_on:
                break
        ranks = "-".join(str(dist.get_global_rank(group, one)) for one in (0, dist.get_world_size(group) - 1))
        times = {"from (s)": round(start, 1), "to (s)": round(time.perf_counter() - began, 1)}
        end = "complete" if done == epochs else "stopped"
        if is_first:
            print(f"ranks {ranks}: trial {number} {end} after {done} epochs, quality {mean:.3f}", flush=True)
            row = {"ranks": ranks, "trial": number, **times, "epochs": done, "end": end, "quality": mean}
            rows.append({**row, **TRIALS[number]})
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=16, help="of a trial that is not stopped")
    parser.add_argument("--trials", type=int, default=len(TRIALS))
    parser.add_argument("--results", type=Path, default=Path("search.json"))
    arguments = parser.parse_args()
    store, rank, size = next(dist.rendezvous("env://"))
    dist.init_process_group("gloo", store=store, rank=rank, world_size=size, timeout=WAIT)
    if size % RANKS:
        raise SystemExit(f"there are {size} ranks, and a trial has {RANKS}: give a multiple")
    groups = [dist.new_group(range(first, first + RANKS)) for first in range(0, size, RANKS)]
    mine = groups[rank // RANKS]
    found = run_trials(Board(dist.PrefixStore("search", store)), mine, arguments.epochs, arguments.trials)
    rows = [None] * size
    dist.all_gather_object(rows, found)
    if rank == 0:
        every = sorted((row for part in rows for row in part), key=lambda row: row["quality"])
        arguments.results.write_text(json.dumps(every, indent=1))
        print(tabulate(every, "keys", floatfmt=".4g"))
        done, whole = sum(row["epochs"] for row in every), arguments.epochs * len(every)
        print(f"{done} epochs of {whole}; the best is trial {every[0]['trial']}: {TRIALS[every[0]['trial']]}")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
