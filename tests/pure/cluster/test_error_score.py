"""Scores of fits that have ended their worker: scikit-learn's own ``error_score``."""

import math

import pytest
from sklearn.datasets import load_iris
from sklearn.dummy import DummyClassifier
from sklearn.metrics import check_scoring
from sklearn.model_selection._validation import _fit_and_score

from hpcml.cluster.joblib.error_score import fallback
from hpcml.errors import WorkerDied

X, y = load_iris(return_X_y=True)


def call(error_score):
    estimator = DummyClassifier()
    settings = {
        "scorer": check_scoring(estimator),
        "train": list(range(100)),
        "test": list(range(100, 150)),
        "verbose": 0,
        "parameters": None,
        "fit_params": None,
        "score_params": None,
        "error_score": error_score,
    }
    return _fit_and_score, (estimator, X, y), settings


@pytest.mark.parametrize("score", [math.nan, -1.0])
def test_a_fit_that_has_ended_its_worker_has_the_score_of_errors(score):
    result = fallback(*call(score))(WorkerDied("killed by signal 9"))
    assert result["test_scores"] == score or math.isnan(result["test_scores"])
    assert "killed by signal 9" in result["fit_error"]


def test_errors_that_should_be_raised_have_no_score():
    assert fallback(*call("raise")) is None


def test_other_functions_have_no_score():
    assert fallback(abs, (1,), {}) is None
    assert fallback(print, (1,), {"error_score": 0.0}) is None
