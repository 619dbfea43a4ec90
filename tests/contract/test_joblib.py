"""joblib backend: everything that joblib 1.6 promises of loky, on each engine."""

import math
import multiprocessing
import os
import threading
import time

import numpy as np
import pytest
import tasks
from joblib import Parallel, delayed, effective_n_jobs, parallel_config
from patience import promised
from sklearn.datasets import load_iris
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.svm import SVC
from threadpoolctl import threadpool_info

from hpcml.errors import TaskError


def test_the_backend_is_chosen_by_name_or_context(cluster):
    expected = [math.sqrt(n) for n in range(2000)]
    assert Parallel(n_jobs=-1, backend="hpcml")(delayed(math.sqrt)(n) for n in range(2000)) == expected
    with parallel_config("hpcml"):
        assert Parallel()(delayed(math.sqrt)(n) for n in range(2000)) == expected


def within(count):
    with parallel_config("hpcml"):
        return Parallel()(delayed(abs)(-number) for number in range(count))


def test_a_task_can_name_the_backend(cluster):
    """In a task there is one job, as in a task of loky's."""
    assert cluster.submit(within, 3).result() == [0, 1, 2]


def test_n_jobs_counts_slots(cluster):
    with parallel_config("hpcml"):
        assert effective_n_jobs(-1) == cluster.slots
        assert effective_n_jobs(-2) == cluster.slots - 1
        assert effective_n_jobs(2) == 2
        assert effective_n_jobs(1000) == cluster.slots
        with pytest.raises(ValueError, match="n_jobs == 0"):
            Parallel(n_jobs=0)(delayed(abs)(n) for n in range(3))


def test_one_job_runs_in_this_process(cluster):
    assert Parallel(n_jobs=1, backend="hpcml")(delayed(os.getpid)() for _ in range(2)) == [os.getpid()] * 2


def test_n_jobs_is_honoured(cluster):
    spans = Parallel(n_jobs=2, backend="hpcml")(delayed(tasks.span)(0.15) for _ in range(10))
    at_once = max(sum(began <= start < ended for began, ended in spans) for start, _ in spans)
    assert at_once == 2


def test_all_slots_are_used(cluster):
    spans = Parallel(n_jobs=-1, backend="hpcml")(delayed(tasks.slow_who)(0.3) for _ in range(2 * cluster.slots))
    assert len(set(spans)) == cluster.slots


@pytest.mark.parametrize("return_as", ["generator", "generator_unordered"])
def test_results_as_generators(cluster, return_as):
    results = Parallel(n_jobs=-1, backend="hpcml", return_as=return_as)(delayed(tasks.add)(n) for n in range(50))
    first = next(results)
    rest = list(results)
    if return_as == "generator":
        assert [first, *rest] == list(range(50))
    else:
        assert sorted([first, *rest]) == list(range(50))


def test_an_abandoned_generator_frees_the_workers(cluster):
    calls = (delayed(tasks.slow_who)(0.01 if n == 0 else 60) for n in range(40))
    results = Parallel(n_jobs=-1, backend="hpcml", return_as="generator")(calls)
    next(results)
    with pytest.warns(UserWarning, match="have been cancelled"):  # joblib's
        results.close()
    began = time.monotonic()
    assert Parallel(n_jobs=2, backend="hpcml")(delayed(tasks.add)(n) for n in range(4)) == [0, 1, 2, 3]
    assert time.monotonic() - began < promised(15)


def test_a_timeout_frees_the_workers(cluster):
    with pytest.raises(multiprocessing.TimeoutError):  # joblib's, for all its backends
        Parallel(n_jobs=2, backend="hpcml", timeout=0.5)(delayed(tasks.slow_who)(60) for _ in range(4))
    began = time.monotonic()
    assert Parallel(n_jobs=2, backend="hpcml")(delayed(tasks.add)(n) for n in range(4)) == [0, 1, 2, 3]
    assert time.monotonic() - began < promised(15)


def test_an_error_keeps_its_type_and_frees_the_workers(cluster):
    began = time.monotonic()
    with pytest.raises(ZeroDivisionError) as caught:
        Parallel(n_jobs=-1, backend="hpcml")(delayed(tasks.fail_or_sleep)(n, 60) for n in range(30))
    assert "fail_or_sleep" in str(caught.value.__cause__)
    assert Parallel(n_jobs=-1, backend="hpcml")(delayed(tasks.add)(n) for n in range(4)) == [0, 1, 2, 3]
    assert time.monotonic() - began < promised(20)


def test_a_managed_parallel_is_usable_after_an_error(cluster):
    with Parallel(n_jobs=-1, backend="hpcml") as parallel:
        with pytest.raises(ZeroDivisionError):
            parallel(delayed(tasks.fail_or_sleep)(n, 60) for n in range(6))
        assert parallel(delayed(tasks.add)(n) for n in range(6)) == list(range(6))


@pytest.mark.parametrize("position", [0, 30])
def test_an_unpicklable_task_is_named_and_does_not_hang(cluster, position):
    things = [n if n != position else threading.Lock() for n in range(40)]
    with pytest.raises(TaskError, match=r"_thread\.lock"):
        Parallel(n_jobs=2, backend="hpcml", batch_size=1)(delayed(tasks.add)(thing) for thing in things)


def test_an_error_of_the_users_generator_arrives(cluster):
    def numbers():
        yield from range(20)
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        Parallel(n_jobs=2, backend="hpcml")(delayed(tasks.add)(n) for n in numbers())


def _nested(n, backend):
    return sum(Parallel(n_jobs=2, backend=backend)(delayed(tasks.add)(n, m) for m in range(3)))


@pytest.mark.parametrize("backend", [None, "hpcml", "threading"])
def test_a_nested_parallel_runs_in_its_task(cluster, backend):
    got = Parallel(n_jobs=-1, backend="hpcml")(delayed(_nested)(n, backend) for n in range(6))
    assert got == [3 * n + 3 for n in range(6)]


def _threads():
    np.ones((2, 2)) @ np.ones((2, 2))
    return max((pool["num_threads"] for pool in threadpool_info()), default=0)


def test_tasks_have_one_thread_unless_configured_otherwise(cluster):
    assert max(Parallel(n_jobs=2, backend="hpcml")(delayed(_threads)() for _ in range(4))) <= 1
    with parallel_config("hpcml", inner_max_num_threads=2):
        assert set(Parallel(n_jobs=2)(delayed(_threads)() for _ in range(4))) == {2}


def test_shared_memory_is_refused(cluster):
    with pytest.raises(ValueError, match="shared memory"):
        Parallel(n_jobs=2, backend="hpcml", require="sharedmem")


def test_a_search_equals_one_process(cluster):
    X, y = load_iris(return_X_y=True)
    grid = {"C": [0.1, 1, 10], "gamma": [0.01, 0.1]}
    alone = GridSearchCV(SVC(), grid, cv=4, return_train_score=True).fit(X, y).cv_results_
    with parallel_config("hpcml"):
        together = GridSearchCV(SVC(), grid, cv=4, return_train_score=True).fit(X, y).cv_results_
    for column in alone:
        if "time" not in column:
            assert np.array_equal(np.asarray(alone[column]), np.asarray(together[column])), column


def test_a_failing_candidate_has_its_error_score(cluster):
    X, y = load_iris(return_X_y=True)
    with parallel_config("hpcml"), pytest.warns(Warning, match="fits failed"):
        search = GridSearchCV(Ridge(), {"alpha": [1.0, -1.0]}, cv=3, error_score=-9).fit(X, y)
    assert list(search.cv_results_["mean_test_score"] == -9) == [False, True]


def test_cross_val_score_equals_one_process(cluster):
    X, y = load_iris(return_X_y=True)
    with parallel_config("hpcml"):
        assert np.array_equal(cross_val_score(SVC(), X, y, cv=5), cross_val_score(SVC(), X, y, cv=5, n_jobs=1))
