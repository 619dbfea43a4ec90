"""Program with every kind of call that can be resumed, whose driver kills itself; see test_resume.py.

``resumable.py ENGINE``; settings of a session are in the environment, for arguments identify the run. Each
execution of a task leaves a line in the file $EXECUTED. When $LIMIT tasks are recorded, the driver kills itself.
"""

import contextlib
import os
import pickle
import signal
import sys
import uuid

import numpy as np
from joblib import Parallel, delayed, parallel_config
from scipy.stats import loguniform
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, KFold, RandomizedSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import hpcml
from hpcml.engines.worker import current_worker
from hpcml.journal import runs as sessions
from hpcml.journal.run_journal import RunJournal

SHIFT = 0.5


def note(what):
    """Write a line for an execution on a worker."""
    if current_worker() is not None:
        with open(os.environ["EXECUTED"], "a") as file:
            file.write(f"{what}\n")


class Counted(RegressorMixin, BaseEstimator):
    """Ridge regression with some noise, which writes a line for each fit."""

    def __init__(self, alpha=1.0, random_state=None):
        self.alpha = alpha
        self.random_state = random_state

    def fit(self, X, y):  # noqa: N803
        note(f"fit {self.alpha} {X.sum()}")
        random = (
            np.random.RandomState(self.random_state) if isinstance(self.random_state, int) else self.random_state
        )
        self.noise_ = 0.0 if random is None else random.normal()
        self.model_ = Ridge(self.alpha).fit(X, y + self.noise_)
        return self

    def predict(self, X):  # noqa: N803
        return self.model_.predict(X)


def shift(table):
    return table + SHIFT


def scale(number, by=2):
    note(f"scale {number} {by}")
    return number * by


def total(handle, number):
    note(f"total {number}")
    return float(handle.value.sum()) + number


def ticket():
    note("ticket")
    return uuid.uuid4().hex


def refuse(number):
    note(f"refuse {number}")
    raise KeyError(number)


def results(cluster):
    """Yield name and results of each part of the program, one after the other."""
    random = np.random.RandomState(0)
    X = random.normal(size=(90, 4))
    y = X @ np.arange(4) + random.normal(size=90)
    model = make_pipeline(StandardScaler(), FunctionTransformer(shift), Counted(random_state=3))
    alphas, folds = {"counted__alpha": [0.1, 1.0, 10.0]}, KFold(3, shuffle=True, random_state=1)
    yield "grid", GridSearchCV(model, alphas, cv=folds, n_jobs=-1).fit(X, y).cv_results_
    draws = {"alpha": loguniform(0.1, 10)}
    for state in (5, np.random.RandomState(5)):
        search = RandomizedSearchCV(
            Counted(random_state=np.random.RandomState(2)), draws, n_iter=3, cv=2, random_state=state, n_jobs=-1
        )
        yield f"random {type(state).__name__}", search.fit(X, y).cv_results_
        yield f"random again {type(state).__name__}", search.fit(X, y).cv_results_
    halving = HalvingGridSearchCV(Counted(), {"alpha": [0.1, 1.0, 10.0]}, cv=2, random_state=0, n_jobs=-1)
    yield "halving", halving.fit(X, y).cv_results_
    yield "cross_validate", cross_validate(model, X, y, cv=4, n_jobs=-1, return_train_score=True)
    yield "parallel", Parallel(n_jobs=-1)(delayed(scale)(number) for number in range(6))
    yield "tickets", Parallel(n_jobs=-1)(delayed(ticket)() for _ in range(5))
    if cluster is None:
        yield "map", [scale(number, 3) for number in range(8)]
        yield "broadcast", [float(X.sum()) + number for number in range(3)]
        yield "submit", [scale(number, by=4) for number in range(3)]
        return
    yield "map", list(cluster.map(scale, range(8), [3] * 8))
    with cluster.broadcast(X) as handle:
        yield "broadcast", list(cluster.map(total, [handle] * 3, range(3)))
    yield "submit", [future.result() for future in [cluster.submit(scale, number, by=4) for number in range(3)]]
    yield "refused", repr(cluster.submit(refuse, 1).exception())


def kill_after(limit):
    """Kill this process when so many tasks are recorded; the last is recorded and not yet counted."""
    real, left = RunJournal.finished, iter(range(limit, -1, -1))

    def finished(run_journal, call, outcome, packed):
        real(run_journal, call, outcome, packed)
        if next(left) == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    RunJournal.finished = finished


def main(engine):
    if engine == "none":
        found = dict(results(None))
    else:
        if limit := int(os.environ["LIMIT"]):
            kill_after(limit)
        if "OTHER_VERSION" in os.environ:
            real = sessions.versions
            sessions.versions = lambda: {**real(), "scipy": "0.1"}
        with contextlib.ExitStack() as stack:
            settings = {"slots_per_node": 3, "run_dir": "runs", "resume": True, "progress": False}
            cluster = stack.enter_context(hpcml.Cluster(engine, **settings))
            print(cluster._session.run_journal.session, cluster._session.run_journal.reusable, flush=True)
            stack.enter_context(parallel_config("hpcml"))
            found = dict(results(cluster))
    with open(os.environ["RESULTS"], "wb") as file:
        pickle.dump(found, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
