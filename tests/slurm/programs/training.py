"""Trainings on all workers of a Cluster; prints weights, loss and number of ranks of each rank, as JSON.

The arguments are names of checkpoints, one training after the other. In the step after a colon, as in ``name:12``,
the last rank kills itself.
"""

import json
import os
import signal
import sys

import numpy as np

import hpcml
from hpcml.training import Checkpoints, DataParallel

STEPS, BATCH, PER_EPOCH = 14, 100, 5
X = np.random.default_rng(0).normal(size=(480, 5))
Y = np.tanh(X @ np.arange(1.0, 6.0))


def train(comm, name, death):
    parallel = DataParallel(comm)
    np.random.seed(parallel.rank)
    weights = np.zeros(5)
    with Checkpoints(name, comm=comm) as checkpoints:
        loaded = checkpoints.load()
        if loaded:
            weights = loaded.state["weights"]
        for step in range(loaded.step if loaded else 0, STEPS):
            epoch, number = divmod(step, PER_EPOCH)
            mine = next(parallel.batches(len(X), BATCH, seed=1, epoch=epoch, first=number))
            x = X[mine] + np.random.normal(scale=0.01)
            if step == death and parallel.rank == parallel.size - 1:
                os.kill(os.getpid(), signal.SIGKILL)
            weights -= 0.2 * parallel.mean(x.T @ (np.tanh(x @ weights) - Y[mine]) / max(len(mine), 1), len(mine))
            if step % 3 == 2:
                checkpoints.save({"weights": weights}, step + 1, wait=step < 6)
    return weights.tobytes().hex(), float(np.mean((np.tanh(X @ weights) - Y) ** 2)), parallel.size


def main():
    found = []
    with hpcml.Cluster(mpi=True, progress=False) as cluster:
        for word in sys.argv[1:]:
            name, _, death = word.partition(":")
            try:
                found.append(cluster.comm_map(train, name, int(death or -1)))
            except hpcml.WorkerDied as error:
                found.append(str(error))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
