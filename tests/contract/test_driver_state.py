"""State of the driver and of workers: results are freed, functions are not kept, calls run on workers."""

import copy
import gc
import random
import threading
import time
import weakref

import isolated
import numpy as np
import pytest
from joblib import Parallel, delayed

from hpcml.cluster.map import granularity
from hpcml.errors import TaskError


def test_a_result_that_the_caller_drops_is_freed(cluster):
    results = cluster.map(np.zeros, [1000, 1000])
    dropped = weakref.ref(next(results))
    gc.collect()
    assert dropped() is None
    del results


def worker_memory(_):
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def test_workers_keep_no_function(cluster):
    def after(maps):
        for _ in range(maps):
            content = bytes(np.random.default_rng().bytes(900_000))
            list(cluster.map(lambda n, content=content: len(content) + n, range(4)))
        return max(cluster.map(worker_memory, range(20)))

    before = after(20)
    assert after(60) < before + 30_000_000


def test_a_table_that_holds_the_map_can_be_copied(cluster):
    table = {"map": cluster.map, "cluster": cluster}
    twin = copy.deepcopy(table)
    assert list(twin["map"](abs, [-1, 2])) == [1, 2]
    assert copy.copy(cluster) is cluster
    assert twin["cluster"] is cluster


def test_the_state_of_a_module_is_that_of_the_workers_in_every_map(cluster, monkeypatch):
    monkeypatch.setattr(isolated, "TARGET", 50)
    people = [[0, n % 5, n % 3] for n in range(300)]
    expected = [abs(sum(one)) for one in people]  # a worker imports the module, whose target is 0
    for _ in range(5):
        assert list(cluster.map(isolated.distance, people)) == expected


def test_a_map_does_not_change_the_random_numbers_of_other_threads(cluster):
    drawn, ended = [], threading.Event()

    def draw():
        while not ended.is_set():
            drawn.append(random.random())

    random.seed(5)
    thread = threading.Thread(target=draw)
    thread.start()
    try:
        for _ in range(10):
            list(cluster.map(isolated.distance, [[n] for n in range(300)]))
    finally:
        ended.set()
        thread.join()
    random.seed(5)
    assert drawn == [random.random() for _ in drawn]


def test_a_call_that_ends_its_script_does_not_end_the_driver(cluster):
    for _ in range(3):
        with pytest.raises((TaskError, SystemExit)):
            list(cluster.map(isolated.leave, [[n] for n in range(300)]))
    with pytest.raises(TaskError, match=r"sys\.exit"):
        cluster.submit(isolated.leave, [0]).result()


def test_the_restart_of_workers_does_not_count_as_sending(cluster, caplog, monkeypatch):
    monkeypatch.setattr(granularity, "_spent", {})
    monkeypatch.setattr(granularity, "MIN_SPENT_SECONDS", 0.0)
    results = Parallel(n_jobs=-1, backend="hpcml", return_as="generator")(delayed(slow)(n) for n in range(30))
    next(results)
    with pytest.warns(UserWarning, match="tasks"):
        results.close()
    list(cluster.map(abs, range(300)))
    assert "one takes" not in caplog.text


def slow(number):
    time.sleep(0.2 if number else 0)
    return number
