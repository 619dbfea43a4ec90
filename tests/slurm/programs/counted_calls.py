"""Calls that are counted as the fits of counted.py are, by joblib alone: the workers need no scikit-learn.

counted_calls.py OPTIONS, as JSON: ledger, seconds, out and cluster, as those of counted.py; others are not used.
"""

import json
import os
import pickle
import sys
import time

import numpy as np
from joblib import Parallel, delayed, parallel_config

ALPHAS, FOLDS = 60, 3


def fit(number, fold, ledger, seconds):
    """Fit a ridge regression without the rows of a fold; return its error on these."""
    generator = np.random.default_rng(0)
    X, y = generator.normal(size=(120, 5)), generator.normal(size=120)
    alpha = 10 ** np.linspace(-3, 3, ALPHAS)[number]
    note(ledger, "begin", f"{number}/{fold}")
    time.sleep(seconds)
    left_out = np.arange(120) % FOLDS == fold
    train = X[~left_out]
    weights = np.linalg.solve(train.T @ train + alpha * np.eye(5), train.T @ y[~left_out])
    note(ledger, "end", f"{number}/{fold}")
    return float(np.square(X[left_out] @ weights - y[left_out]).mean())


def note(ledger, event, name):
    """Write an event of this process to the ledger, if there is one."""
    if ledger:
        line = f"{event} {name} {os.uname().nodename}:{os.getpid()} {time.time()}\n"
        file = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, line.encode())
        os.close(file)


def run(ledger, seconds):
    """Return the error of each fit."""
    calls = [delayed(fit)(number, fold, ledger, seconds) for number in range(ALPHAS) for fold in range(FOLDS)]
    return {"error": Parallel()(calls)}


def main(*, ledger="", seconds=0.0, out="", cluster=None, harm="", below=0.0):
    if cluster is None:
        results = run(ledger, seconds)
    else:
        import hpcml

        with hpcml.Cluster(**cluster), parallel_config("hpcml"):
            results = run(ledger, seconds)
    with open(out, "wb") as file:
        pickle.dump(results, file)


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
