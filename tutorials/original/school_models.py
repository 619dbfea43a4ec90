"""Models of kmeans.py and digits.py: a module beside the scripts, which every node must find."""

import os

import numpy as np
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits, make_blobs
from sklearn.metrics import silhouette_score
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.svm import SVC


def search(quick=False, n_jobs=None):
    """Return a fitted search over the parameters of a support vector machine, and its accuracy on new digits."""
    X, y = load_digits(return_X_y=True)
    samples = 300 if quick else len(X)
    X_train, X_test, y_train, y_test = train_test_split(X[:samples], y[:samples], test_size=0.3, random_state=0)
    if quick:
        grid = {"C": np.logspace(-1, 1, 3), "gamma": np.logspace(-4, -2, 3)}
    else:
        grid = {"C": np.logspace(-6, 6, 20), "gamma": np.logspace(-6, 1, 20)}
    model = SVC(kernel="rbf", shrinking=False)
    found = GridSearchCV(model, grid, return_train_score=True, cv=3, n_jobs=n_jobs).fit(X_train, y_train)
    return found, found.score(X_test, y_test)


def make_points(quick=False):
    """Return points around a few centres."""
    return make_blobs(1000 if quick else 5000, centers=7, random_state=87)[0]


def cluster(points, k, quick=False):
    """Return the number of clusters, what is left of the distances, the cluster of each point, and the node."""
    fitted = KMeans(init="k-means++", n_clusters=k, n_init=3 if quick else 100, random_state=0).fit(points)
    return k, float(fitted.inertia_), fitted.labels_, os.uname().nodename


def silhouette(points, labels):
    """Return how far clusters are from each other: 1 for far, 0 for clusters that touch."""
    return float(silhouette_score(points, labels))
