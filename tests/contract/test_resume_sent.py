"""Results of a resumed run depend on all that is sent: state of objects that have a name, sharing; short calls."""

import functools
import time

import pytest
from joblib import Parallel, delayed

import hpcml


class Scaled:
    def __init__(self, function):
        functools.update_wrapper(self, function)
        self.function = function
        self.scale = 1

    def __call__(self, x):
        return self.function(x) * self.scale


@Scaled
def scaled(x):
    return x


SHORT = 150


def total(pair):
    time.sleep(0.005)
    return sum(pair)


@pytest.fixture
def options(tmp_path):
    return {"engine": "local", "slots_per_node": 2, "progress": False, "run_dir": tmp_path}


def test_a_decorated_function_is_sent_with_its_current_state(options):
    assert scaled.__qualname__ == "scaled"
    for settings in ({"batch_size": 1}, {"batch_size": 3}):
        found = []

        def numbers():
            for scale in range(6):
                scaled.scale = scale
                yield delayed(scaled)(1)

        for backend in ("loky", "hpcml"):
            with hpcml.Cluster(**options):
                found.append(Parallel(n_jobs=2, backend=backend, pre_dispatch=1, **settings)(numbers()))
        assert found[0] == found[1]


def test_short_calls_with_lists_are_recalled(options):
    """All of hundreds of short calls are recorded: a key takes a small part of a call's time."""
    with hpcml.Cluster(**options) as cluster:
        before = Parallel(n_jobs=2, backend="hpcml")(delayed(total)([n, 1]) for n in range(SHORT))
        mapped = list(cluster.map(total, [[n, 2] for n in range(SHORT)]))
        run = cluster.run_dir
    with hpcml.Cluster(**options, resume=run) as cluster:
        known = cluster._session.run_journal.reusable
        again = Parallel(n_jobs=2, backend="hpcml")(delayed(total)([n, 1]) for n in range(SHORT))
        assert list(cluster.map(total, [[n, 2] for n in range(SHORT)])) == mapped
        used = cluster._session.run_journal.used
    assert before == again == [n + 1 for n in range(SHORT)]
    assert used == known
    assert used >= 1.8 * SHORT


def test_an_argument_given_twice_has_another_key_than_with_its_copy(options):
    a, b = [0], [0]
    with hpcml.Cluster(**options) as cluster:
        first = [cluster.submit(extend, a, a).result(), cluster.submit(extend, a, b).result()]
        run = cluster.run_dir
    with hpcml.Cluster(**options, resume=run) as cluster:
        again = [cluster.submit(extend, a, b).result(), cluster.submit(extend, a, a).result()]
        assert cluster._session.run_journal.used == 2
    assert first == [2, 1]
    assert again == [1, 2]


def extend(one, two):
    one.append(1)
    return len(two)
