"""Exercise 1: a grid search and a choice of clusters, on every core that the job has."""

import argparse
import json
import os
import socket
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed, parallel_config
from matplotlib import pyplot as plt
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits, make_blobs
from sklearn.metrics import silhouette_score
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.svm import SVC

import hpcml


class NotedSVC(SVC):
    """A support vector machine that knows which worker has fitted it."""

    def fit(self, X, y):
        Path("results/workers", f"{socket.gethostname()}-{os.getpid()}").touch()
        return super().fit(X, y)


def cluster_points(points, count):
    """Return the centres of so many clusters, inertia, and silhouette: 1 for clusters far from each other."""
    model = KMeans(count, n_init=10, random_state=0).fit(points)
    return model.cluster_centers_, model.inertia_, silhouette_score(points, model.labels_)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="few digits, and a small grid")
    quick = parser.parse_args().quick
    Path("results/workers").mkdir(parents=True, exist_ok=True)
    for worker in Path("results/workers").iterdir():
        worker.unlink()

    X, y = load_digits(return_X_y=True)
    samples, size = (500, 4) if quick else (1297, 10)
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, train_size=samples, test_size=500, random_state=0, stratify=y
    )
    grid = {"C": np.logspace(-1, 2, size), "gamma": np.logspace(-4, -2, size)}
    search = GridSearchCV(NotedSVC(), grid, cv=3, n_jobs=-1)
    points, _ = make_blobs(1000, centers=5, random_state=10)

    # TODO 1: open a Cluster, and make it joblib's default, so that the search uses all slots.
    with hpcml.Cluster() as cluster, parallel_config("hpcml"):
        slots = cluster.slots
        search.fit(X_train, y_train)
        # TODO 2: run cluster_points for 2 to 9 clusters as tasks: Parallel(n_jobs=-1)(delayed(…)(…) for …).
        found = Parallel(n_jobs=-1)(delayed(cluster_points)(points, count) for count in range(2, 10))

    # This process has fitted the best model once more.
    Path("results/workers", f"{socket.gethostname()}-{os.getpid()}").unlink(missing_ok=True)
    # TODO 3: the accuracy of the best model, on digits that no fit has seen.
    accuracy = search.score(X_test, y_test)
    # TODO 4: the number of clusters with the highest silhouette.
    inertias = [inertia for _, inertia, _ in found]
    silhouettes = [silhouette for _, _, silhouette in found]
    clusters = 2 + int(np.argmax(silhouettes))
    # TODO 5: their centres, in the order of their x.
    centres = np.sort(found[clusters - 2][0], axis=0).tolist()

    results = {
        "quick": quick,
        "slots": slots,
        "workers": sorted(path.name for path in Path("results/workers").iterdir()),
        "mean_scores": search.cv_results_["mean_test_score"].tolist(),
        "best_C": search.best_params_["C"],
        "best_gamma": search.best_params_["gamma"],
        "accuracy": accuracy,
        "clusters": clusters,
        "centres": centres,
    }
    Path("results/01.json").write_text(json.dumps(results, indent=1))
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(15, 4.5), layout="constrained")
    draw_scores(figure, left, search, grid)
    draw_clusters(middle, right, inertias, points, centres)
    figure.savefig("results/01.png", dpi=100)
    best = f"C {results['best_C']:.3g} and gamma {results['best_gamma']:.3g}"
    print(f"best {best}, {accuracy:.1%} of new digits right; {clusters} clusters; see results/01.png")


def draw_scores(figure, left, search, grid):
    """Draw the scores over C and gamma."""
    scores = search.cv_results_["mean_test_score"].reshape(len(grid["C"]), len(grid["gamma"]))
    mesh = left.pcolormesh(grid["gamma"], grid["C"], scores, shading="nearest", cmap="Greys")
    best = search.best_params_
    left.plot(best["gamma"], best["C"], "o", color="white", markeredgecolor="black", markersize=12, label="best")
    left.set(xscale="log", yscale="log", xlabel="gamma", ylabel="C", title="mean accuracy in cross-validation")
    left.legend()
    figure.colorbar(mesh, ax=left, label="accuracy")


def draw_clusters(middle, right, inertias, points, centres):
    """Draw the elbow, and the points with the centres of their clusters."""
    clusters = len(centres)
    middle.plot(range(2, len(inertias) + 2), inertias, "ko-", label="k-means")
    middle.axvline(clusters, color="black", linestyle=":", label="chosen")
    middle.set(xlabel="clusters", ylabel="inertia", title="after the elbow one more cluster hardly helps")
    middle.legend()
    right.plot(*points.T, ".", color="grey", markersize=2, label="points")
    right.plot(*np.array(centres).T, "k^", markersize=10, label="centres")
    right.set(xlabel="x", ylabel="y", title=f"{clusters} clusters")
    right.legend()


if __name__ == "__main__":
    main()
