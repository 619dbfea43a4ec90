"""Training that is killed at random places, also within a save, and resumed until it ends.

    killed_training.py DIRECTORY KILLS SEED WAIT

Children of one process train: a start of Python for each would take minutes. Each child but the last kills itself
at one of its next changes of a file, or at one of its next steps. Prints what an uninterrupted child and the last
child have found, and how many were killed within a save.
"""

import json
import os
import random
import signal
import sys
import traceback
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from hpcml.training import Checkpoints

STEPS, EVERY = 120, 3
EVENTS = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree", "step"}
now = SimpleNamespace(left=0, saving=False)  # events until this process kills itself; 0 stands for never


def count(event, arguments):
    """Kill this process at an event."""
    named = event in EVENTS or (event == "open" and "-step-" in str(arguments[0]))
    if named and now.left:
        now.left -= 1
        if not now.left:
            os.write(3, b"s" if now.saving else b".")
            os.kill(os.getpid(), signal.SIGKILL)


def train(directory, wait):
    """Train a small model; return what its last bits depend on."""
    rows = np.random.default_rng(0).normal(size=(64, 5))
    random.seed(1)
    np.random.seed(2)
    stream = np.random.default_rng(3)
    weights, moments, first = np.zeros(5), np.zeros(5, np.float32), 0
    with Checkpoints(directory, keep=2) as checkpoints:
        loaded = checkpoints.load()
        if loaded:
            weights, moments, first = loaded.state["weights"], loaded.state["moments"], loaded.step
            stream.bit_generator.state = loaded.state["stream"]
        for step in range(first, STEPS):
            sys.audit("step")
            batch = rows[stream.integers(len(rows), size=8)] + random.gauss(0, 0.1) + np.random.normal(size=5)
            gradient = batch.T @ (batch @ weights - 1) / 8
            moments = (0.9 * moments + 0.1 * gradient).astype(np.float32)
            weights = weights - 0.05 * moments
            if (step + 1) % EVERY == 0:
                now.saving = True
                state = {"weights": weights, "moments": moments, "stream": stream.bit_generator.state}
                checkpoints.save(state, step + 1, wait=wait)
                now.saving = not wait
    return [weights.tobytes().hex(), moments.tobytes().hex(), random.random(), np.random.random(), stream.random()]


def run(directory, wait, events):
    """Train in a child of this process, which kills itself at one of its events; return its output and status."""
    output, told = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.dup2(told, 3)
            now.left = events
            found = train(directory, wait)
            now.left = 0
            (directory / "result").write_text(json.dumps(found))
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    os.close(told)
    with open(output) as file:
        text = file.read()
    return text, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main():
    place, kills, seed, wait = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "wait"
    for name in ("whole", "killed"):
        (place / name).mkdir()
    sys.addaudithook(count)
    assert run(place / "whole", wait, 0) == ("", 0)
    numbers = random.Random(seed)
    ends = []
    while (kills := kills - 1) >= 0:
        text, status = run(place / "killed", wait, numbers.randint(1, 30))
        assert status == -signal.SIGKILL, f"seed {seed}, status {status}, after {len(ends)} kills"
        ends.append(text)
    assert run(place / "killed", wait, 0) == ("", 0), f"seed {seed}"
    results = [json.loads((place / name / "result").read_text()) for name in ("whole", "killed")]
    names = sorted(os.listdir(place / "killed"))
    print(json.dumps({"results": results, "in_saves": ends.count("s"), "names": names}))


if __name__ == "__main__":
    main()
