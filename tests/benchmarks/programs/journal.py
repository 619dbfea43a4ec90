"""Cost of the journal: microseconds to write and to recognise a task, bytes, and seconds to resume.

    python journal.py hpcml SLOTS MEASURE…      prints {MEASURE: value, …} as JSON

journal_write     a record with a small result, of 100,000, and the sync of the last of them
journal_bytes     bytes of a record without its result
journal_key       time that a key adds to a call of a grid search
resume_10000      from ``Cluster(resume=True)`` of a run of 10,000 tasks, all but the last of them done, until the
                  last one runs; on this computer
"""

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import joblib
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import hpcml
from hpcml.cluster.calls import Calls
from hpcml.data.call_data import CallData
from hpcml.data.envelope import Call
from hpcml.data.outcomes import Outcome
from hpcml.data.staging.file_system import LocalStaging
from hpcml.data.staging.store import Store
from hpcml.journal.lease import this_process
from hpcml.journal.run_journal import RunJournal

RECORDS, TASKS = 100_000, 10_000
RESULT = b"r" * 150  # a pickled score, its times, and the name of what was called


def write() -> dict[str, float]:
    """Write many small results."""
    with tempfile.TemporaryDirectory(dir=".") as place:
        os.chmod(place, 0o700)
        run_journal = RunJournal(Path(place), this_process(), {}, lambda job: None)
        call = Call(b"", b"", "sklearn.model_selection._validation._fit_and_score", "joblib")
        outcome = Outcome(None, None, "node1:11", time.time(), 0.123456, 150)
        began = time.perf_counter()
        for number in range(RECORDS):
            run_journal.finished(call._replace(key=f"{number:032x}"), outcome, RESULT)
        run_journal.sync()
        seconds = time.perf_counter() - began
        size = Path(place, "journal").stat().st_size
        run_journal.close("ended")
    return {"journal_write": seconds / RECORDS * 1e6, "journal_bytes": size / RECORDS - len(RESULT)}


def key() -> dict[str, float]:
    """Make the calls of a search with and without a journal, before they run; the median difference."""
    spent: list[float] = []

    def seconds(calls: Calls, item: Any) -> float:
        function, args, kwargs = item
        began = time.perf_counter()
        calls.make(function, args, kwargs, "group")
        return time.perf_counter() - began

    def compare(items: Any) -> Any:
        for item in items:
            spent.append(seconds(recorded, item) - seconds(plain, item))
            yield item

    called = joblib.Parallel.__call__
    with tempfile.TemporaryDirectory(dir=".") as place:
        os.chmod(place, 0o700)
        run_journal = RunJournal(Path(place), this_process(), {}, lambda job: None)
        data = CallData(Store(LocalStaging([place])), 1 << 20)
        recorded, plain = Calls(data, run_journal, at_once=True), Calls(data, None, at_once=True)
        try:
            joblib.Parallel.__call__ = lambda self, items: called(self, compare(items))
            X, y = load_digits(return_X_y=True)
            grid = {"svc__C": [1, 2, 3], "svc__gamma": [0.1, 0.2]}
            GridSearchCV(make_pipeline(StandardScaler(), SVC()), grid, cv=3, refit=False).fit(X[:200], y[:200])
        finally:
            joblib.Parallel.__call__ = called
            run_journal.close("ended")
    return {"journal_key": sorted(spent)[len(spent) // 2] * 1e6}


def task(number: int, last: bool) -> float:
    """Return the time of the call."""
    return time.time()


def resume() -> dict[str, float]:
    """Run all tasks but the last, close the Cluster, and resume the run."""
    with tempfile.TemporaryDirectory(dir=".") as place:
        options = {"engine": "local", "slots_per_node": 2, "progress": False, "run_dir": place}
        with hpcml.Cluster(**options) as cluster:
            list(cluster.map(task, range(TASKS - 1), [False] * (TASKS - 1)))
            run = cluster.run_dir
        began = time.time()
        with hpcml.Cluster(**options, resume=run) as cluster:
            *_, ran = cluster.map(task, range(TASKS), [False] * (TASKS - 1) + [True])
    return {f"resume_{TASKS}": ran - began}


if __name__ == "__main__":
    print(json.dumps(write() | key() | resume()))
