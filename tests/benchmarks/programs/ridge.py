"""The tasks of `search`: linear fits that read a large matrix and neither copy nor change it.

`Ridge.fit` itself would copy it: since scikit-learn 1.6 it asks for an array that can be written
(`force_writeable`), whatever `copy_X` says, and what processes share is read-only with every system measured
here but ipyparallel. `ridge_regression` is what it calls then, and with `fit_intercept=False` all it does.
"""

import os
import socket
import tracemalloc
from typing import Any

import numpy as np
from sklearn.linear_model import ridge_regression

# Few enough for a fit's own matrices (COLUMNS squared) to be small beside the data, and enough for y, which may
# are sent with each task where it is below a megabyte, to be so too.
COLUMNS = 250
ALPHAS = np.logspace(-3, 0, 24)
MOST_ALLOCATED = 0.5  # of the data: more, and it was copied
_TRUTH = np.linspace(-1, 1, COLUMNS)
_NOISE = 0.01
_TOLERANCE = 0.05
_WARM_ROWS = 400  # 0.8 MB, below what any of the systems treats as large


def data(rows: int) -> tuple[Any, Any]:
    """Return (X, y): `rows` times COLUMNS float64, made without a copy on the way, and a float64 for each row."""
    random = np.random.default_rng()  # new data in each run: no system has met it before
    samples = random.random((rows, COLUMNS))
    return samples, samples @ _TRUTH + _NOISE * random.standard_normal(rows)


def fit(samples: Any, values: Any, alpha: float) -> Any:
    """Return the COLUMNS coefficients."""
    return ridge_regression(samples, values, alpha=alpha, solver="cholesky")


def check(found: Any) -> None:
    """Raise if a fit has not found the coefficients of the data."""
    if len(found) != len(ALPHAS) or not np.allclose(found, _TRUTH, atol=_TOLERANCE):
        raise RuntimeError("a fit has not found the coefficients that the data was made with")


def check_no_copy() -> None:
    """Raise if a fit of read-only data copies the data: memory would measure the fits, not the system."""
    samples, values = data(5000)
    samples.flags.writeable = False
    tracemalloc.start()
    fit(samples, values, 1.0)
    allocated = tracemalloc.get_traced_memory()[1] / samples.nbytes
    tracemalloc.stop()
    if allocated > MOST_ALLOCATED:
        raise RuntimeError(f"a fit allocates {allocated:.2f} times its data: this scikit-learn copies it")


def warm(_: int) -> tuple[str, int]:
    """Import and use all that a fit needs; this worker's host and process id."""
    fit(*data(_WARM_ROWS), 1.0)
    return socket.gethostname(), os.getpid()


def warm_data() -> tuple[Any, Any]:
    """Return data with which the way of joblib's tasks is gone once before it is measured."""
    return data(_WARM_ROWS)
