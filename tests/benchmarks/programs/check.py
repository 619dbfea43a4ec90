"""Microseconds that looking for large arguments adds to the pickling of a task that has none.

    python check.py hpcml SLOTS MEASURE      prints {MEASURE: microseconds, …} as JSON
"""

import json
import sys
import time
from statistics import median
from typing import Any

import numpy as np
from sklearn.svm import SVC

from hpcml.cluster.calls import Calls
from hpcml.data.call_data import CallData
from hpcml.data.packing import Called
from hpcml.data.pickling import dumps
from hpcml.data.staging.file_system import LocalStaging
from hpcml.data.staging.store import Store

CALLS, ROUNDS = 200, 101
LIMIT = 1 << 20  # bytes, the Cluster's own


def task(*_: Any, **__: Any) -> None:
    """Stand for the function of a user's calls."""


def arguments() -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return arguments that are typical of tasks, all of them small."""
    random = np.random.default_rng(0)
    rows, labels, weights = random.random((50, 20)), np.arange(50), random.random(50)
    return (SVC(C=10.0), rows, labels, weights), {"options": {"C": 1.0, "kernel": "rbf", "folds": [0, 1, 2]}}


class PlainPacker:
    """Packs a call as cloudpickle does, without a look at the data."""

    def pack(self, called: Called, args: Any, kwargs: Any) -> tuple[bytes, bytes]:
        """Return a function and its arguments, packed."""
        return dumps(called.function), dumps((args, kwargs))


def microseconds(store: Store, plain: bool) -> float:
    """Pack calls as `Cluster.submit` does, or `plain`, and return the time of one."""
    args, kwargs = arguments()
    began = time.perf_counter()
    for _ in range(CALLS):
        calls = Calls(CallData(store, LIMIT), None, at_once=True)
        if plain:
            calls._packer = PlainPacker()
        calls.make(task, args, kwargs, "group", sends=1)
    return (time.perf_counter() - began) / CALLS * 1e6


def main(measure: str) -> None:
    store = Store(LocalStaging([]))  # nothing is large: it is never asked to send
    found = [(microseconds(store, False), microseconds(store, True)) for _ in range(ROUNDS)]
    checked, plain = (median(each) for each in zip(*found, strict=True))
    print(json.dumps({measure: median(a - b for a, b in found), "checked": checked, "plain": plain}))


if __name__ == "__main__":
    main(sys.argv[3])
