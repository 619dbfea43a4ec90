"""Unmodified scikit-learn search, as a user would write it; saves cv_results_ to the path in argv."""

import pickle
import sys

from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.svm import SVC

X, y = load_digits(return_X_y=True)
search = GridSearchCV(SVC(), {"C": [0.1, 1, 10], "gamma": [1e-4, 1e-3, 1e-2, 1e-1]}, cv=3, n_jobs=-1)
search.fit(X[:500], y[:500])
with open(sys.argv[1], "wb") as file:
    pickle.dump(search.cv_results_, file)
