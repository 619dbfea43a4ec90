"""The school's grid search over digits: seconds of `fit`, the workers being there already.

    python digits.py POOL SLOTS MEASURE…      prints {MEASURE: seconds, …} as JSON, the same for each
"""

import importlib
import json
import sys
import time

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.svm import SVC

VALUES = 20  # of C and of gamma
SAMPLES = 900


def main(name: str, slots: int, measures: list[str]) -> None:
    data, labels = load_digits(return_X_y=True)
    grid = {"C": np.logspace(-6, 6, VALUES), "gamma": np.logspace(-6, 1, VALUES)}
    search = GridSearchCV(SVC(shrinking=False), grid, cv=3)
    with importlib.import_module(f"{name}_pool").open_pool(slots) as pool, pool.joblib():
        began = time.perf_counter()
        search.fit(data[:SAMPLES], labels[:SAMPLES])
        seconds = time.perf_counter() - began
    print(json.dumps(dict.fromkeys(measures, seconds)))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
