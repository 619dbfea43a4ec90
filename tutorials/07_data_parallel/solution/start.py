"""Exercise 7: training on several ranks, each with a share of the data, and the same model on all."""

import argparse
import hashlib
import json
import os
import time
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits

import hpcml

SEED = 7
TRAINING = 1280  # digits to learn from; the others are new
BATCH = 256  # digits of a step, of all ranks together
RATE = 1.0
CLASSES = 10


def loss_and_gradient(weights, X, y):
    """Return the loss of softmax regression and its gradient, both summed over some digits."""
    scores = X @ weights
    scores -= scores.max(axis=1, keepdims=True)
    shares = np.exp(scores)
    shares /= shares.sum(axis=1, keepdims=True)
    loss = -np.log(shares[np.arange(len(y)), y]).sum()
    shares[np.arange(len(y)), y] -= 1
    return loss, X.T @ shares


def train(comm, X, y, epochs):
    """Train on the ranks of a communicator, all at the same time; return what this rank has found."""
    weights = np.zeros((X.shape[1], CLASSES))
    losses, shard = [], []
    computing, communicating = [], []
    for epoch in range(epochs):
        order = np.random.default_rng([SEED, epoch]).permutation(len(X))  # the same on all ranks
        for first in range(0, len(order), BATCH):
            batch = order[first : first + BATCH]
            began = time.perf_counter()
            # TODO 1: this rank's share of the batch. It is number comm.rank, from 0, of comm.size ranks.
            mine = batch[comm.rank :: comm.size]
            loss, gradient = loss_and_gradient(weights, X[mine], y[mine])
            computed = time.perf_counter()
            # TODO 2: sum loss and gradient over all ranks, comm.allreduce(…).
            loss, gradient = comm.allreduce(loss), comm.allreduce(gradient)
            # TODO 3: the mean over all digits of the step.
            loss, gradient = loss / len(batch), gradient / len(batch)
            communicated = time.perf_counter()
            weights -= RATE * gradient
            losses.append(float(loss))
            shard += mine.tolist() if epoch == 0 else []
            computing.append(computed - began)
            communicating.append(communicated - computed)
    digest = hashlib.sha256(weights.tobytes()).hexdigest()
    return {
        "weights": weights,
        "losses": losses,
        "shard": shard,
        "digest": digest,
        "times": [float(np.median(times)) * len(X) / BATCH for times in (computing, communicating)],
    }


def train_on_some(comm, count, *arguments):
    """Train on the first ranks, so many; the others return None."""
    part = comm.Split(int(comm.rank < count))
    found = train(part, *arguments) if comm.rank < count else None
    part.Free()
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="few epochs")
    in_job = "SLURM_JOB_ID" in os.environ
    help_text = "ranks on each node: by default one for each task of the job, without Slurm 4"
    parser.add_argument("--slots", type=int, default=None if in_job else 4, help=help_text)
    arguments = parser.parse_args()
    epochs = 8 if arguments.quick else 60
    Path("results").mkdir(exist_ok=True)

    X, y = load_digits(return_X_y=True)
    mixed = np.random.default_rng(SEED).permutation(len(X))  # neighbours are of one writer
    X, y = np.hstack([X / 16, np.ones((len(X), 1))])[mixed], y[mixed]
    X_train, y_train = X[:TRAINING], y[:TRAINING]
    with hpcml.Cluster(mpi=True, slots_per_node=arguments.slots) as cluster:
        ranks = [count for count in (1, 2, 4, 8, 16, 32) if count <= cluster.slots]
        found = [cluster.comm_map(train_on_some, count, X_train, y_train, epochs)[:count] for count in ranks]

    weights = found[0][0]["weights"]
    # TODO 4: the share of the new digits, those from TRAINING on, that the model recognises.
    accuracy = float(np.mean((X[TRAINING:] @ weights).argmax(axis=1) == y[TRAINING:]))

    results = {
        "quick": arguments.quick,
        "ranks": ranks,
        "losses": [one[0]["losses"] for one in found],
        "shards": [one["shard"] for one in found[-1]],
        "digests": [one["digest"] for one in found[-1]],
        "accuracy": accuracy,
    }
    Path("results/07.json").write_text(json.dumps(results, indent=1))
    draw(results, [one[0]["times"] for one in found])


def draw(results, times):
    """Draw the loss over the steps, and where the time of an epoch goes."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
    counts = [f"{count} rank{'s' * (count > 1)}" for count in results["ranks"]]
    styles = ("-", "--", ":", "-.", (0, (1, 5)), (0, (5, 5)))
    for place, (losses, label, style) in enumerate(zip(results["losses"], counts, styles, strict=False)):
        left.plot(losses, color=f"{0.7 - 0.7 * place / len(counts):.2f}", linestyle=style, label=label,
                  linewidth=2 + 1.5 * (len(counts) - place))  # fmt: skip
    left.set(xlabel="step", ylabel="mean loss of the batch", title="loss", yscale="log")
    left.legend()
    computing, communicating = 1000 * np.array(times).T
    right.bar(counts, computing, color="white", edgecolor="black", hatch="//", label="gradient of the shard")
    right.bar(counts, communicating, bottom=computing, color="grey", edgecolor="black", label="sum over the ranks")
    right.set(ylabel="time of an epoch (ms)", title="first rank")
    right.legend()
    figure.savefig("results/07.png", dpi=100)


if __name__ == "__main__":
    main()
