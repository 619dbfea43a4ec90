"""Prints results on nodes with writable file maps, scikit-learn's callbacks, and data that is removed."""

import glob
import json
import shutil
import sys
import time
import warnings
from pathlib import Path

import numpy
from sklearn.callback import ScoringMonitor
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

import hpcml

warnings.filterwarnings("ignore")


def fill(out: numpy.ndarray, number: int) -> str:
    time.sleep(0.02)
    out[number] = number + 1
    return hpcml.engines.worker.current_worker().host


def total(array: numpy.ndarray, _: int) -> float:
    time.sleep(0.02)
    return float(array.sum())


def clean(_: int) -> None:
    """Remove all data on this node."""
    time.sleep(0.2)
    for place in ("/dev/shm", "/tmp"):
        for path in glob.glob(f"{place}/hpcml-*"):
            shutil.rmtree(path, ignore_errors=True)


def searched(jobs: int) -> tuple[list, list]:
    monitor = ScoringMonitor(scoring="accuracy")
    model = LogisticRegression(max_iter=3).set_callbacks(monitor)
    found = GridSearchCV(model, {"C": [0.01, 1]}, cv=3, n_jobs=jobs).fit(*load_iris(return_X_y=True))
    rows = sorted((row["task_id_path"], row["task_name"], row.get("accuracy")) for row in monitor.get_logs().data)
    return found.cv_results_["mean_test_score"].tolist(), rows


with hpcml.Cluster() as cluster:
    out = numpy.memmap(Path(sys.argv[1]) / "out.dat", "f8", "w+", shape=(48,))
    hosts = set(cluster.map(fill, [out] * 48, range(48)))
    report = {"hosts": sorted(hosts), "written": numpy.fromfile(out.filename).tolist()}
    local = numpy.memmap("/tmp/local.dat", "f8", "w+", shape=(48,))
    errors = [cluster.submit(fill, local, number).exception() for number in range(48)]
    Path("/tmp/local.dat").unlink()
    report["local"] = sorted({f"{type(error).__name__}: {error}" for error in errors})
    array = numpy.ones(300_000)
    sums = set()
    for _ in range(2):
        sums |= set(cluster.map(total, [array] * 24, range(24)))
        list(cluster.map(clean, range(4 * cluster.slots)))
        sums |= set(cluster.map(total, [array + 1] * 24, range(24)))
    report["sums"] = sorted(sums)
    report["equal"] = searched(-1) == searched(1)
    print(json.dumps(report))
