"""The task of `start`: one fit of scikit-learn, and who did it."""

import os
import socket

from sklearn.datasets import load_iris
from sklearn.svm import SVC


def fit(_: int) -> tuple[str, int]:
    """Fit a support vector machine to the iris flowers; the worker's host and process id."""
    SVC().fit(*load_iris(return_X_y=True))
    return socket.gethostname(), os.getpid()
