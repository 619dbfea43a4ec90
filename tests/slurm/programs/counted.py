"""Search whose fits are counted: each writes its name and process to a file, at its begin and at its end.

counted.py OPTIONS, as JSON: ledger (the file), seconds (of a fit), out (for cv_results_), candidates, cluster
(options of hpcml.Cluster; without it, scikit-learn in one process), and the harm of fits with certain alphas.
"""

import contextlib
import json
import os
import pickle
import signal
import sys
import time
import warnings

import numpy as np
from joblib import parallel_config
from scipy.stats import loguniform
from sklearn.datasets import make_regression
from sklearn.linear_model import Ridge
from sklearn.model_selection import RandomizedSearchCV


class Counted(Ridge):
    """Ridge regression that counts its fits; `harm` is done by the fits of the smallest alphas."""

    def __init__(self, alpha=1.0, *, ledger="", seconds=0.0, harm="", below=0.0):
        super().__init__(alpha=alpha)
        self.ledger = ledger
        self.seconds = seconds
        self.harm = harm
        self.below = below

    def _write(self, event, X):  # noqa: N803
        if self.ledger:
            fit, worker = f"{float(self.alpha)!r}/{float(X.sum())!r}", f"{os.uname().nodename}:{os.getpid()}"
            line = f"{event} {fit} {worker} {time.time()}\n"
            file = os.open(self.ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(file, line.encode())
            os.close(file)

    def fit(self, X, y):  # noqa: N803  scikit-learn's name
        self._write("begin", X)
        if self.harm and self.alpha < self.below:
            do_harm(self.harm)
        end = time.monotonic() + self.seconds
        while (left := end - time.monotonic()) > 0:
            time.sleep(left)
        super().fit(X, y)
        self._write("end", X)
        return self


def do_harm(kind):
    """Harm the worker of a fit that has run for a moment."""
    time.sleep(0.1)
    if kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif kind == "leave":
        sys.exit(4)
    elif kind == "hang":
        time.sleep(600)


def main(*, ledger="", seconds=0.0, out="", candidates=60, cluster=None, harm="", below=0.0):
    X, y = make_regression(120, 5, noise=3.0, random_state=0)
    search = RandomizedSearchCV(
        Counted(ledger=ledger, seconds=seconds, harm=harm, below=below),
        {"alpha": loguniform(1e-3, 1e3)},
        n_iter=candidates, cv=3, random_state=0, refit=False,
    )  # fmt: skip
    with contextlib.ExitStack() as opened:
        opened.enter_context(warnings.catch_warnings())
        if cluster is not None:
            import hpcml

            opened.enter_context(hpcml.Cluster(**cluster))
            opened.enter_context(parallel_config("hpcml"))
        search.fit(X, y)
    results = {name: np.asarray(value).tolist() for name, value in search.cv_results_.items()}
    with open(out, "wb") as file:
        pickle.dump(results, file)


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
