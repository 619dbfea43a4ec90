"""Parameter server on the workers of a Cluster: convergence, bounds of staleness, deaths of workers and server."""

import json
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from patience import patient

from hpcml.training import Checkpoints, ParameterServer

PROGRAM = Path(__file__).parent / "helpers" / "parameter_server.py"
MODES = {"synchronous": {"workers": 5, "rate": 0.3, "updates": 150}, "asynchronous": {"staleness": 4, "rate": 0.1}}


def execute(place, **options):
    words = [sys.executable, PROGRAM, json.dumps({"place": str(place), "updates": 500, **options})]
    return subprocess.run(words, capture_output=True, text=True, timeout=patient(90), check=False, cwd=place)


def output_of(place, **options):
    done = execute(place, **options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("mode", MODES)
def test_deaths_of_workers_and_of_the_server_change_no_bit(mode, tmp_path):
    whole = output_of(tmp_path, **MODES[mode], name="whole")
    assert (whole["began"], whole["lost"]) == (0, 0)
    assert whole["error"] < (1e-12 if mode == "synchronous" else 0.05), "batches of one differ from their mean"
    killed = execute(tmp_path, **MODES[mode], deaths=[33, 120], end=77)
    assert killed.returncode == -signal.SIGKILL
    found = output_of(tmp_path, **MODES[mode], deaths=[33, 120])
    assert 40 <= found["began"] <= 60
    assert found["bits"] == whole["bits"]


def test_a_gradient_whose_worker_is_given_up_is_left_out(tmp_path):
    found = output_of(tmp_path, **MODES["synchronous"], fatal=[33, 120], cluster={"retries": 1})
    assert found["lost"] == 2
    assert found["error"] < 1e-12


class Versions:
    """Gradients that count the updates in the weights that they are computed with, the slowest first."""

    def __init__(self):
        self.seen, self.running, self.most, self.lock = {}, 0, 0, threading.Lock()

    def __call__(self, weights, number):
        with self.lock:
            self.seen[number] = int(weights[0])
            self.running += 1
            self.most = max(self.most, self.running)
        time.sleep(0.002 * (3 - number % 4))
        with self.lock:
            self.running -= 1
        return np.ones(1)


@pytest.mark.parametrize("staleness", [1, 3])
def test_gradients_are_as_old_as_they_may_be_and_no_older(staleness):
    versions = Versions()
    with ThreadPoolExecutor(4) as workers:
        server = ParameterServer(
            workers, versions, np.zeros(1), lambda w, g: w + g, workers=4, staleness=staleness
        )
        assert server.run(60).tolist() == [60]
    assert versions.seen == {number: max(number - staleness, 0) for number in range(60)}
    assert versions.most == staleness + 1


def test_a_synchronous_update_is_the_mean_over_all_workers():
    versions = Versions()
    with ThreadPoolExecutor(4) as workers:
        server = ParameterServer(workers, versions, np.zeros(1), lambda w, g: w + g, workers=4)
        server.run(3)
        assert server.run(5).tolist() == [5]
    assert versions.seen == {number: number // 4 for number in range(20)}


def test_exceptions_end_the_run_and_cancel_what_has_not_begun():
    def fail(weights, number):
        if number == 5:
            raise KeyError("no such batch")
        time.sleep(0.01)
        return weights

    with ThreadPoolExecutor(1) as workers:
        server = ParameterServer(workers, fail, np.zeros(1), 0.1, workers=1, staleness=20)
        with pytest.raises(KeyError, match="no such batch"):
            server.run(30)
        assert server.step == 5
    with ThreadPoolExecutor(2) as workers:
        server = ParameterServer(workers, lambda w, number: np.ones(number + 1), np.zeros(1), 0.1, workers=2)
        with pytest.raises(ValueError, match="different keys, shapes or types"):
            server.run(1)
        with pytest.raises(ValueError, match="workers=None"):
            ParameterServer(workers, fail, np.zeros(1), 0.1)
        with pytest.raises(TypeError, match="weights of int64 cannot make steps of 0.1"):
            ParameterServer(workers, fail, {"w": np.array([1, 2])}, 0.1, workers=2)


def test_a_server_goes_on_from_a_snapshot_of_other_staleness(tmp_path):
    with Checkpoints(tmp_path) as checkpoints, ThreadPoolExecutor(2) as workers:
        arguments = (workers, lambda w, number: w - number, np.zeros(2), 0.01)
        ParameterServer(*arguments, workers=2, checkpoints=checkpoints, every=10).run(25)
        server = ParameterServer(*arguments, staleness=3, workers=2, checkpoints=checkpoints, every=10)
        assert server.step == 20
        assert server.run(31).shape == (2,)
