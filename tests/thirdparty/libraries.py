"""Small programs with libraries that were not written for hpcml. Each returns plain numbers that can be compared.

A program takes a map (the built-in ``map`` or `hpcml.Cluster.map`) and a pool (None or a Cluster); the caller sets
joblib's backend.
"""

from typing import Any

import numpy as np

__all__ = ["PROGRAMS"]


def data() -> tuple[np.ndarray, np.ndarray]:
    """Return 120 samples of two classes, one of them rare."""
    from sklearn.datasets import make_classification

    return make_classification(120, 6, n_informative=3, weights=[0.75], random_state=0)


def trees(**settings: Any) -> Any:
    """Return a small forest."""
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(6, max_depth=3, random_state=0, **settings)


def scores(search: Any) -> dict[str, list[Any]]:
    """Return the columns of a search that do not hold times."""
    return {name: list(column) for name, column in search.cv_results_.items() if "time" not in name}


def imblearn(*_: Any) -> Any:
    """Resample within the folds of a search; balanced ensembles."""
    from imblearn.ensemble import BalancedBaggingClassifier, BalancedRandomForestClassifier
    from imblearn.over_sampling import SMOTE
    from imblearn.pipeline import make_pipeline
    from sklearn.model_selection import GridSearchCV

    X, y = data()
    model = make_pipeline(SMOTE(random_state=1), trees())
    search = GridSearchCV(model, {"smote__k_neighbors": [2, 3]}, cv=3, n_jobs=-1).fit(X, y)
    forest = BalancedRandomForestClassifier(6, random_state=0, n_jobs=-1).fit(X, y)
    bagging = BalancedBaggingClassifier(n_estimators=6, random_state=0, n_jobs=-1).fit(X, y)
    return scores(search), forest.predict_proba(X), bagging.predict_proba(X)


def mlxtend(*_: Any) -> Any:
    """Select features forwards and exhaustively."""
    from mlxtend.feature_selection import ExhaustiveFeatureSelector, SequentialFeatureSelector
    from sklearn.neighbors import KNeighborsClassifier

    X, y = data()
    model = KNeighborsClassifier(3)
    some = SequentialFeatureSelector(model, k_features=3, cv=3, n_jobs=-1).fit(X, y)
    every = ExhaustiveFeatureSelector(model, max_features=2, cv=3, n_jobs=-1, print_progress=False).fit(X, y)
    return [[(step["feature_idx"], step["avg_score"]) for step in one.subsets_.values()] for one in (some, every)]


def skopt(*_: Any) -> Any:
    """Search with a model of the scores, two candidates at a time."""
    from sklearn.svm import SVC
    from skopt import BayesSearchCV

    X, y = data()
    spaces = {"C": (0.1, 10.0, "log-uniform"), "gamma": (0.01, 1.0, "log-uniform")}
    search = BayesSearchCV(SVC(), spaces, n_iter=8, n_points=2, cv=3, n_jobs=-1, random_state=0)
    return scores(search.fit(X, y))


def boruta(*_: Any) -> Any:
    """Rank features against shuffled ones."""
    from boruta import BorutaPy

    ranked = BorutaPy(trees(n_jobs=-1), n_estimators=20, max_iter=8, random_state=0).fit(*data())
    return ranked.ranking_


def lightgbm(*_: Any) -> Any:
    """Search over boosted trees."""
    from lightgbm import LGBMClassifier
    from sklearn.model_selection import GridSearchCV

    model = LGBMClassifier(n_estimators=10, n_jobs=1, random_state=0, verbose=-1, deterministic=True)
    return scores(GridSearchCV(model, {"num_leaves": [3, 7, 15]}, cv=3, n_jobs=-1).fit(*data()))


def optuna(*_: Any) -> Any:
    """Run given trials in two threads; each cross-validates with joblib."""
    import optuna
    from sklearn.model_selection import cross_val_score
    from sklearn.svm import SVC

    X, y = data()

    def objective(trial: Any) -> float:
        return cross_val_score(SVC(C=trial.suggest_float("C", 0.1, 10.0)), X, y, cv=3, n_jobs=2).mean()

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study()
    for C in (0.1, 0.5, 1.0, 2.0, 5.0):
        study.enqueue_trial({"C": C})
    study.optimize(objective, n_trials=5, n_jobs=2)
    return sorted((trial.params["C"], trial.value) for trial in study.trials)


def valley(x: np.ndarray) -> float:
    """Return the height of Rosenbrock's valley."""
    return float(np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2))


def scipy(mapped: Any, _: Any) -> Any:
    """Minimise by differential evolution."""
    from scipy.optimize import differential_evolution

    found = differential_evolution(
        valley, [(-2, 2)] * 3, workers=mapped, updating="deferred", maxiter=15, popsize=8, seed=1, polish=False
    )
    return found.x, found.fun, found.nfev


def likelihood(x: np.ndarray, spread: float) -> float:
    """Return the logarithm of a normal density."""
    return -0.5 * float(np.sum((x / spread) ** 2))


def emcee(_: Any, pool: Any) -> Any:
    """Sample with an ensemble of walkers."""
    import emcee

    np.random.seed(0)
    sampler = emcee.EnsembleSampler(12, 3, likelihood, args=[2.0], pool=pool)
    sampler.run_mcmc(np.random.rand(12, 3), 20)
    return sampler.get_chain()


PROGRAMS = {
    "imblearn": imblearn,
    "mlxtend": mlxtend,
    "skopt": skopt,
    "boruta": boruta,
    "lightgbm": lightgbm,
    "optuna": optuna,
    "scipy": scipy,
    "emcee": emcee,
}
"""By the name of the module that each needs."""
