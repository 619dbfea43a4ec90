"""Grader of exercise 1: the scores of one process are computed here; the slots, and the clusters, are checked."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from hpcml.commands.tutorial.checks import Check, at_least, close, same
from hpcml.commands.tutorial.results import flag, number, numbers, table, texts, whole

__all__ = ["FIELDS", "grade"]

FIELDS = {
    "quick": flag("whether there are few digits and a small grid, --quick"),
    "slots": whole("slots of the Cluster"),
    "workers": texts("names of the processes that have run fits, of their host and number, each once"),
    "mean_scores": numbers("cv_results_['mean_test_score'] of the search"),
    "best_C": number("C of the best candidate"),
    "best_gamma": number("gamma of the best candidate"),
    "accuracy": number("accuracy of the best model on the 500 digits that no fit has seen"),
    "clusters": whole("number of clusters with the highest silhouette"),
    "centres": table("x and y of the centre of each cluster"),
}

LEAST_ACCURACY = 0.97
SIZES = {True: (500, 4), False: (1297, 10)}  # digits to learn from; values of C, and of gamma
TRUE_CENTRES = 5


def grade(results: Mapping[str, Any]) -> Iterator[Check]:
    """Yield the checks of a student's results."""
    scores, best, accuracy = _reference(results["quick"])
    yield same(
        "every slot works",
        len(set(results["workers"])),
        min(results["slots"], 3 * len(scores)),
        "put the search inside `with hpcml.Cluster() as cluster, parallel_config('hpcml'):`",
    )
    hint = "leave folds and grid as they are"
    yield close("scores of one process", results["mean_scores"], scores, hint, tolerance=1e-12)
    yield close(
        "best candidate",
        [results["best_C"], results["best_gamma"]],
        best,
        "take search.best_params_ of the whole grid",
    )
    yield close(
        "accuracy on new digits",
        [results["accuracy"]],
        [accuracy],
        "score with X_test and y_test: digits that the model has learned from say nothing",
    )
    yield at_least("accuracy", results["accuracy"], LEAST_ACCURACY, "a best model below this is not the best")
    hint = "take the number with the highest silhouette; the elbow of the inertia is there, too"
    yield same("number of clusters", results["clusters"], TRUE_CENTRES, hint)
    yield _centres(results["centres"])


def _centres(found: list[list[float]]) -> Check:
    """Check that each centre is among its points: coordinates sorted by themselves are in empty space."""
    expected = sorted(_true_centres())
    near = [
        min(abs(row[0] - x) + abs(row[1] - y) for row in found) if all(len(row) == 2 for row in found) else 99.0
        for x, y in expected
    ] or [99.0]
    return Check(
        "centres of the clusters",
        len(found) == len(expected) and max(near) < 0.5,
        f"{len(expected)} centres, each in the middle of its points",
        f"{len(found)} centres, one {max(near):.2g} from its points",
        "sort whole centres: np.sort(centres, axis=0) takes the x of one and the y of another",
    )


def _true_centres() -> list[tuple[float, float]]:
    from sklearn.datasets import make_blobs

    _, _, centres = make_blobs(1000, centers=TRUE_CENTRES, random_state=10, return_centers=True)
    return [(float(x), float(y)) for x, y in centres]


@cache
def _reference(quick: bool) -> tuple[list[float], list[float], float]:
    """Return scores, best candidate and accuracy of the same search in one process."""
    import numpy as np
    from sklearn.datasets import load_digits
    from sklearn.model_selection import GridSearchCV, train_test_split
    from sklearn.svm import SVC

    X, y = load_digits(return_X_y=True)
    samples, size = SIZES[quick]
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, train_size=samples, test_size=500, random_state=0, stratify=y
    )
    grid = {"C": np.logspace(-1, 2, size), "gamma": np.logspace(-4, -2, size)}
    search = GridSearchCV(SVC(), grid, cv=3).fit(X_train, y_train)
    best = [float(search.best_params_["C"]), float(search.best_params_["gamma"])]
    return search.cv_results_["mean_test_score"].tolist(), best, float(search.score(X_test, y_test))
