"""Exercise 1: tune a support vector machine on all nodes of your job.

    python tutorials/01_grid_search.py              # on this computer
    sbatch sbatch/sklearn_search.sbatch             # the same file on every node of a Slurm job

400 pairs of C and gamma are too many to try by hand, and each pair is independent of the others, so a cluster can
fit them at the same time. Questions: how long does one fit take, how long the whole search, and on how many slots
would the search take half as long? (HPC School of the University of Luxembourg, "scikit-learn".)
"""

import argparse
import time

import matplotlib
import numpy as np
from joblib import parallel_config
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.svm import SVC

import hpcml

matplotlib.use("Agg")


def main() -> None:
    parser = argparse.ArgumentParser(description="Grid search over C and gamma of a support vector machine.")
    parser.add_argument("--size", type=int, default=20, help="values of C and of gamma (default: 20 each)")
    parser.add_argument("--samples", type=int, default=1257, help="digits to learn from (default: 1257, 70 %%)")
    parser.add_argument("--png", default="grid_search.png", help="where the heat map goes")
    options = parser.parse_args()

    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, train_size=options.samples, test_size=500, random_state=0, stratify=y
    )
    grid = {"C": np.logspace(-6, 6, options.size), "gamma": np.logspace(-6, 1, options.size)}
    search = GridSearchCV(SVC(shrinking=False), grid, cv=3)

    began = time.perf_counter()
    with hpcml.Cluster() as cluster, parallel_config("hpcml"):
        search.fit(X_train, y_train)
        slots, hosts = cluster.slots, cluster.hosts
    seconds = time.perf_counter() - began

    best = ", ".join(f"{name} = {value:.3g}" for name, value in search.best_params_.items())
    print(f"best parameters  {best}")
    print(f"test accuracy    {search.score(X_test, y_test):.3f}")
    print(f"slots            {slots}")
    print(f"hosts            {', '.join(hosts)}")
    print(f"fits             {len(search.cv_results_['params']) * search.n_splits_}")
    print(f"wall time        {seconds:.1f} s")
    plot(search, grid, options.png)
    print(f"heat map         {options.png}")


def plot(search: GridSearchCV, grid: dict, path: str) -> None:
    """Draw the mean test score over C and gamma."""
    from matplotlib import pyplot as plt

    scores = search.cv_results_["mean_test_score"].reshape(len(grid["C"]), len(grid["gamma"]))
    figure, axes = plt.subplots(figsize=(7, 6), layout="constrained")
    mesh = axes.pcolormesh(grid["gamma"], grid["C"], scores, shading="nearest", cmap="viridis")
    axes.set(xscale="log", yscale="log", xlabel="gamma", ylabel="C", title="Mean accuracy in cross-validation")
    axes.plot(search.best_params_["gamma"], search.best_params_["C"], "r*", markersize=14, label="best")
    axes.legend(loc="upper right")
    figure.colorbar(mesh, label="accuracy")
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
