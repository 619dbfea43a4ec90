"""Lengths of iterables that joblib is given: the percentage in the progress of a search."""

import itertools

from sklearn.datasets import load_iris
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV

from hpcml.cluster.joblib.expected_length import expected_length


def test_lengths_of_iterables():
    assert expected_length([1, 2, 3]) == 3
    assert expected_length(iter(range(7))) == 7
    assert expected_length(n * n for n in range(5)) == 5
    assert expected_length((a, b) for a, b in ((x, y) for x, y in zip(range(9), range(4), strict=False))) == 4
    assert expected_length(itertools.product(enumerate("ab"), enumerate("cde"))) == 6
    assert expected_length(n for n in range(5) if n) is None
    assert expected_length(a for b in [[1, 2], [3]] for a in b) is None
    assert expected_length(None) is None


def test_looking_takes_nothing_from_the_iterator():
    numbers = (n for n in zip(range(4), itertools.product("ab", "cd"), strict=True))
    assert expected_length(numbers) == 4
    assert len(list(numbers)) == 4


def test_the_length_of_a_search_is_known(monkeypatch):
    """scikit-learn hands joblib a chain of generators; if that changes, the progress loses its percentage."""
    import joblib

    seen = []
    plain = joblib.Parallel.__call__
    monkeypatch.setattr(
        joblib.Parallel, "__call__", lambda self, it: seen.append(expected_length(it)) or plain(self, it)
    )
    X, y = load_iris(return_X_y=True)
    GridSearchCV(Ridge(), {"alpha": [1, 2, 3, 4]}, cv=5).fit(X, y)
    assert seen[0] == 20
