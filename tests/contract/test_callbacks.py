"""Callbacks of scikit-learn: scores are the same as without, and reports of callbacks are complete."""

import os

import numpy as np
import pytest
from joblib import parallel_config
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score

import hpcml

callback = pytest.importorskip("sklearn.callback", reason="scikit-learn before 1.9 has no callbacks")

X, Y = load_iris(return_X_y=True)
GRID = {"C": [0.01, 1]}


@pytest.fixture(params=["with a socket", "without"])
def reachable(request):
    return request.param == "with a socket"


@pytest.fixture
def hide():
    """Hide the socket of a listener until the end of the test, as on another node."""
    hidden = []

    def rename(handle):
        os.rename(handle.address, f"{handle.address}.hidden")
        hidden.append(handle.address)

    yield rename
    for address in hidden:
        os.rename(f"{address}.hidden", address)


def search(model=None, **options):
    return GridSearchCV(model or LogisticRegression(max_iter=3, tol=0), GRID, cv=3, error_score=np.nan, **options)


def rows(monitor):
    """Return the rows that the monitor has logged: place in the tree of tasks, and score."""
    return sorted(
        (row["task_id_path"], row["estimator_name"], row["task_name"], row.get("accuracy"))
        for row in monitor.get_logs().data
    )


@pytest.mark.filterwarnings("ignore:lbfgs failed to converge")
def test_a_monitor_logs_the_same_as_in_one_process(cluster, reachable, hide):
    found = []
    for jobs in (1, -1):
        monitor = callback.ScoringMonitor(scoring="accuracy")
        if jobs != 1 and not reachable:
            hide(monitor._listener_handle)
        model = LogisticRegression(max_iter=3, tol=0).set_callbacks(monitor)
        with parallel_config("hpcml"):
            fitted = search(model, n_jobs=jobs).fit(X, Y)
        scores = fitted.cv_results_["mean_test_score"].tolist()
        found.append((fitted.best_params_, scores, len(monitor.get_logs("all")), rows(monitor)))
    assert found[1] == found[0]
    assert len(found[0][-1]) > 4


@pytest.mark.filterwarnings("ignore:lbfgs failed to converge")
def test_a_progress_bar_changes_no_score(cluster, reachable, monkeypatch, capsys):
    pytest.importorskip("rich", reason="scikit-learn draws its progress bar with rich, which is not installed")
    from sklearn.callback import _progressbar

    if not reachable:
        opened, closed = _progressbar.open_listener, _progressbar.close_listener

        def open_and_hide(consumer):
            handle = opened(consumer)
            os.rename(handle.address, f"{handle.address}.hidden")
            return handle

        def show_and_close(handle):
            os.rename(f"{handle.address}.hidden", handle.address)
            closed(handle)

        monkeypatch.setattr(_progressbar, "open_listener", open_and_hide)
        monkeypatch.setattr(_progressbar, "close_listener", show_and_close)
    monkeypatch.setenv("COLUMNS", "200")
    expected = search(n_jobs=1).fit(X, Y)
    with parallel_config("hpcml"):
        found = search(n_jobs=-1).set_callbacks(callback.ProgressBar(max_propagation_depth=None)).fit(X, Y)
    assert found.cv_results_["mean_test_score"].tolist() == expected.cv_results_["mean_test_score"].tolist()
    assert found.best_params_ == expected.best_params_
    shown = capsys.readouterr().out
    assert len(shown.splitlines()) == shown.count("100%") > 6


class Failing:
    """Callback of the user's, whose error fails the fit."""

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        raise FileNotFoundError("of the user's own")

    def on_fit_task_end(self, estimator, context):
        pass


def test_an_error_of_a_users_callback_fails_the_fit(cluster):
    model = LogisticRegression().set_callbacks(Failing())
    with parallel_config("hpcml"), pytest.raises(FileNotFoundError, match="of the user's own"):
        cross_val_score(model, X, Y, n_jobs=-1, error_score="raise")


@pytest.mark.filterwarnings("ignore:lbfgs failed to converge")
def test_a_resumed_search_has_the_scores_of_the_first(hide, tmp_path):
    expected = search(n_jobs=1).fit(X, Y).cv_results_["mean_test_score"].tolist()
    options = {"run_dir": tmp_path / "runs"}
    for _ in range(2):
        with hpcml.Cluster("local", slots_per_node=2, progress=False, **options) as cluster:
            monitor = callback.ScoringMonitor(scoring="accuracy")
            hide(monitor._listener_handle)
            model = LogisticRegression(max_iter=3, tol=0).set_callbacks(monitor)
            with parallel_config("hpcml"):
                fitted = search(model, n_jobs=-1).fit(X, Y)
            options = {"resume": cluster.run_dir}
        assert fitted.cv_results_["mean_test_score"].tolist() == expected
        assert len(rows(monitor)) > 6
