"""Keys of the fits of scikit-learn's searches."""

import numpy as np
import pandas as pd
import pytest
from keyed_calls import call_keys
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

X, Y = np.arange(60.0).reshape(30, 2), np.arange(30) % 2


class Taken(Exception):
    pass


@pytest.fixture
def fit_keys(monkeypatch):
    """Function that returns the keys of the fits of a search, without running them."""
    taken = []

    def parallel(_, calls):
        taken[:] = calls
        raise Taken

    monkeypatch.setattr("sklearn.utils.parallel.Parallel.__call__", parallel)

    def keys(search, table=X, labels=Y):
        with pytest.raises(Taken):
            search.fit(table, labels)
        return call_keys(*taken)

    return keys


def search(costs=(1.0, 2.0), random_state=0, folds=3, **settings):
    grid = {"logisticregression__C": list(costs)}
    model = make_pipeline(StandardScaler(), LogisticRegression(random_state=random_state))
    return GridSearchCV(model, grid, cv=KFold(folds, shuffle=True, random_state=random_state), **settings)


def test_a_fit_is_the_same_in_a_larger_grid_and_on_other_machines(fit_keys):
    few = fit_keys(search())
    assert len(set(few)) == 6
    assert few == fit_keys(search(n_jobs=7, pre_dispatch=20, verbose=3))
    assert set(few) < set(fit_keys(search(costs=(0.5, 1.0, 1.5, 2.0), refit=False)))


@pytest.mark.parametrize(
    "changed",
    [
        {"random_state": 1},
        {"scoring": "f1"},
        {"error_score": 0.0},
        {"return_train_score": True},
        {"costs": [1, 2]},
    ],
)
def test_settings_that_change_a_fit_change_its_key(fit_keys, changed):
    assert not set(fit_keys(search())) & set(fit_keys(search(**changed)))


def test_other_data_gives_a_fit_another_key(fit_keys):
    before = fit_keys(search(), X, Y)
    changed = X.copy()
    changed[7, 1] += 1e-12
    for data in [(changed, Y), (X.astype("f4"), Y), (pd.DataFrame(X), Y), (X, 1 - Y), (X, Y.astype("i1"))]:
        assert not set(before) & set(fit_keys(search(), *data))
    assert before == fit_keys(search(), X.copy(), Y.copy())
