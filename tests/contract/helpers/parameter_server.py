"""Ridge regression with a parameter server; its options as JSON, and the result is printed as JSON.

A worker kills itself at the numbers in "deaths", each once, and in "fatal", each time; the server after so many
updates as "end" says.
"""

import functools
import json
import os
import signal
import sys
from pathlib import Path

import numpy as np

import hpcml
from hpcml.training import Checkpoints, ParameterServer

ROWS, PENALTY = 60, 0.1


def data(number):
    numbers = np.random.default_rng([3, number % 5])
    X = numbers.normal(size=(ROWS, 4))
    return X, X @ np.arange(1.0, 5.0) + numbers.normal(size=ROWS)


def gradient(weights, number, options):
    mark = Path(options["place"], f"death-{number}")
    if number in options.get("fatal", []) or (number in options.get("deaths", []) and not mark.exists()):
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    X, y = data(number)
    return {"slopes": X.T @ (X @ weights["slopes"] - y) / ROWS + PENALTY * weights["slopes"]}


def solution():
    """Return the weights at which the mean gradient is 0."""
    parts = [data(number) for number in range(5)]
    products = sum(X.T @ X for X, _ in parts) / (5 * ROWS)
    return np.linalg.solve(products + PENALTY * np.eye(4), sum(X.T @ y for X, y in parts) / (5 * ROWS))


def momentum(state, gradient):
    """Change the state in place."""
    state["speed"] *= 0.5
    state["speed"] += gradient["slopes"]
    state["slopes"] -= state["rate"] * state["speed"]
    state["rate"] *= 0.995
    return state


def main():
    options = json.loads(sys.argv[1])
    place, end = options["place"], options.get("end")
    given = {name: options[name] for name in ("workers", "staleness") if name in options}
    state = {"slopes": np.zeros(4), "speed": np.zeros(4), "rate": np.float64(options["rate"])}
    opened = hpcml.Cluster("local", slots_per_node=2, progress=False, **options.get("cluster", {}))
    with opened as cluster, Checkpoints(Path(place, options.get("name", "snapshots"))) as checkpoints:
        call = functools.partial(gradient, options=options)
        server = ParameterServer(cluster, call, state, momentum, checkpoints=checkpoints, every=20, **given)
        began = server.step
        if end:
            server.run(end)
            os.kill(os.getpid(), signal.SIGKILL)
        server.run(options["updates"])
    slopes = server.weights["slopes"]
    error = float(np.abs(slopes - solution()).max())
    print(json.dumps({"bits": slopes.tobytes().hex(), "error": error, "began": began, "lost": server.lost}))


if __name__ == "__main__":
    main()
