"""Training on ranks: sums of gradients, an epoch, and checkpoints, each beside what it is made of.

    python training.py hpcml RANKS MEASURE…      prints {MEASURE: value, …} as JSON, on this computer

train_sum          seconds of the sum of 64 MB of float32 over the ranks; beside MPI.Allreduce ("allreduce")
train_epoch        seconds of an epoch of a network of 0.8 M weights; beside a loop with MPI.Allreduce ("by_hand"),
                   on one rank, divided by the ranks ("ideal"); and on all ranks, of which each has its share of
                   the rows and sums nothing ("apart")
train_uneven       seconds of an epoch on ranks that simulate speeds of 3, 1, 1, …, with shares by measured speed;
                   with equal shares ("equal"), and where no rank ever waits ("ideal")
checkpoint_write   MB/s of a save of 500 MB; beside a file of as many bytes and its fsync ("disk")
checkpoint_stall   time that a save of 500 MB in the background holds the training, as a share of the whole save

The name of a measure may have the number of ranks at its end.
"""

import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from hpcml.training import Checkpoints, DataParallel

REPEATS = 7
ROWS, BATCH, WIDTH = 16_384, 4096, 784  # each share of a batch computes for more than 50 ms
UNEVEN_BATCH = 256
WARM = 2  # the first saves are not measured: their memory is new


def in_turn(comm: Any, *calls: Callable[[], object]) -> list[float]:
    """Return the median seconds of calls that take turns, each from a barrier to a barrier."""
    spent: list[list[float]] = [[] for _ in calls]
    for _ in range(REPEATS):
        for call, seconds in zip(calls, spent, strict=True):
            comm.Barrier()
            began = time.perf_counter()
            call()
            comm.Barrier()
            seconds.append(time.perf_counter() - began)
    return [median(seconds) for seconds in spent]


def sums(comm: Any) -> dict[str, float]:
    from hpcml.training.ring import ring_sum

    numbers = np.random.default_rng(comm.rank).random(16 * 2**20, dtype=np.float32)
    ours, theirs = numbers.copy(), np.empty_like(numbers)
    comm.Allreduce(numbers, theirs)
    ring_sum(comm, ours)
    assert np.allclose(ours, theirs, rtol=1e-5)
    ring, library = in_turn(comm, lambda: ring_sum(comm, ours), lambda: comm.Allreduce(numbers, theirs))
    return {"train_sum": ring, "train_sum allreduce": library}


def gradient_of(weights: dict[str, Any], x: Any, y: Any) -> dict[str, Any]:
    hidden = np.maximum(x @ weights["in"], 0)
    residual = (hidden @ weights["out"] - y) / np.float32(len(x))
    return {"in": x.T @ ((residual @ weights["out"].T) * (hidden > 0)), "out": hidden.T @ residual}


def epochs(comm: Any) -> dict[str, float]:
    numbers = np.random.default_rng(0)
    x, y = (numbers.random((ROWS, width), dtype=np.float32) for width in (WIDTH, 10))
    first = {name: numbers.random(shape, dtype=np.float32) / 100
             for name, shape in (("in", (WIDTH, 1000)), ("out", (1000, 10)))}  # fmt: skip

    def train(parallel: DataParallel) -> dict[str, Any]:
        weights = first
        for mine in parallel.batches(ROWS, BATCH, seed=1):
            gradient = parallel.mean(gradient_of(weights, x[mine], y[mine]), len(mine))
            weights = {name: weights[name] - np.float32(0.01) * gradient[name] for name in weights}
        return weights

    def train_by_hand() -> dict[str, Any]:
        weights, order = first, np.random.default_rng([1, 0]).permutation(ROWS)
        for start in range(0, ROWS, BATCH):
            mine = np.array_split(order[start : start + BATCH], comm.size)[comm.rank]
            gradient = gradient_of(weights, x[mine], y[mine])
            flat = np.concatenate([one.ravel() for one in gradient.values()]) * np.float32(len(mine) / BATCH)
            total = np.empty_like(flat)
            comm.Allreduce(flat, total)
            parts = np.split(total, [weights["in"].size])
            weights = {name: weights[name] - np.float32(0.01) * part.reshape(weights[name].shape)
                       for name, part in zip(weights, parts, strict=True)}  # fmt: skip
        return weights

    def train_apart() -> None:
        weights = first
        for mine in here.batches(ROWS, BATCH, seed=1):
            gradient = gradient_of(weights, x[mine], y[mine])
            weights = {name: weights[name] - np.float32(0.01) * gradient[name] for name in weights}

    here, alone = DataParallel(comm), DataParallel(comm.Split(comm.rank))
    ours, by_hand = train(here), train_by_hand()
    assert all(np.allclose(ours[name], by_hand[name], rtol=1e-3) for name in ours)
    seconds = in_turn(comm, lambda: train(here), train_by_hand, lambda: comm.rank or train(alone), train_apart)
    seconds[2] /= comm.size
    names = ("train_epoch", "train_epoch by_hand", "train_epoch ideal", "train_epoch apart")
    return dict(zip(names, seconds, strict=True))


def uneven(comm: Any) -> dict[str, float]:
    per_row = 0.0002 if comm.rank else 0.0002 / 3
    parallel = DataParallel(comm)

    def epoch(by_speed: bool) -> None:
        speeds, first = None, 0
        while first * UNEVEN_BATCH < ROWS:
            for mine in parallel.batches(ROWS, UNEVEN_BATCH, seed=1, first=first, speeds=speeds):
                began = time.perf_counter()
                time.sleep(per_row * len(mine))  # the gradient
                seconds = time.perf_counter() - began
                parallel.mean(0.0, len(mine))
                first += 1
                if by_speed and speeds is None:
                    speeds = parallel.speeds(len(mine), seconds)
                    break

    ours, equal = in_turn(comm, lambda: epoch(True), lambda: epoch(False))
    ideal = ROWS / sum(comm.allgather(1 / per_row))
    return {"train_uneven": ours, "train_uneven equal": equal, "train_uneven ideal": ideal}


def checkpoints(_: Any) -> dict[str, float]:
    state = {f"layer {number}": np.random.default_rng(number).random(1_250_000) for number in range(50)}
    nbytes = sum(array.nbytes for array in state.values())
    rates: list[float] = []
    disk: list[float] = []
    stalls: list[float] = []
    place = Path("checkpoints").absolute()
    with Checkpoints(place, keep=1) as versions:
        for step in range(REPEATS + WARM):
            began = time.perf_counter()
            with open("plain", "wb", buffering=0) as file:
                for array in state.values():
                    file.write(array)
                os.fsync(file.fileno())
            disk.append(nbytes / (time.perf_counter() - began) / 1e6)
            os.unlink("plain")
            began = time.perf_counter()
            versions.save(state, step)
            seconds = time.perf_counter() - began
            rates.append(nbytes / seconds / 1e6)
            began = time.perf_counter()
            versions.save(state, step, wait=False)
            stalls.append((time.perf_counter() - began) / seconds)
            versions.load()  # waits for its end
    shutil.rmtree(place)
    found = [median(values[WARM:]) for values in (rates, disk, stalls)]
    return dict(zip(("checkpoint_write", "checkpoint_write disk", "checkpoint_stall"), found, strict=True))


def main() -> None:
    _, pool, ranks, *names = sys.argv
    assert pool == "hpcml"
    if "OMPI_COMM_WORLD_RANK" not in os.environ:
        os.environ["OMP_NUM_THREADS"] = "1"
        # A rank alone has all cores, as a process without mpiexec: a checkpoint is hashed while it is written.
        cores = ["--bind-to", "none"] if ranks == "1" else []
        words = ["--allow-run-as-root", "--oversubscribe", *cores, "-n", ranks, sys.executable, *sys.argv]
        os.execvp("mpiexec", ["mpiexec", *words])
    from mpi4py import MPI

    comm, end = MPI.COMM_WORLD, f"_{ranks}"
    programs = {"train_sum": sums, "train_epoch": epochs, "train_uneven": uneven, "checkpoint": checkpoints}
    found: dict[str, float] = {}
    for start, program in programs.items():
        if any(name.startswith(start) for name in names):
            found |= program(comm)
    if comm.rank == 0:
        for name in [name for name in names if name.endswith(end)]:
            own = name.removesuffix(end)
            found |= {key.replace(own, name): value for key, value in found.items() if key.split()[0] == own}
        print(json.dumps({key: value for key, value in found.items() if key.split()[0] in names}))


if __name__ == "__main__":
    main()
