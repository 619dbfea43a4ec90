"""Recorded results have the script's own classes, as in a run without an interruption."""

import functools
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from engines import ENGINES

SCRIPT = r"""
import collections, contextlib, dataclasses, enum, functools, json, os, sys, typing

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.model_selection import cross_validate

from joblib import Parallel, delayed, parallel_config


def note(what):
    with open("executed", "a") as file:
        file.write(f"{what}\n")


class State(enum.Enum):
    OK = 1
    FAILED = 2


class Level(enum.IntEnum):
    LOW = 1


class Flags(enum.Flag):
    A = 1
    B = 2


@dataclasses.dataclass
class Point:
    x: int
    tags: dict = dataclasses.field(default_factory=dict)

    class Inner:
        def __init__(self, x):
            self.x = x

        def __eq__(self, other):
            return isinstance(other, Point.Inner) and other.x == self.x


class Plain:
    made = 0

    def __init__(self, n):
        self.n = n
        Plain.made += 1

    def __eq__(self, other):
        return type(other) is Plain and other.n == self.n

    def twice(self):
        return 2 * self.n * FACTOR


class Child(Plain):
    def __eq__(self, other):
        return type(other) is Child and isinstance(other, Plain)


class Pair(typing.NamedTuple):
    a: int
    b: str = "b"


Old = collections.namedtuple("Old", "a b")


class Wrong(ValueError):
    def __init__(self, n, why):
        super().__init__(n, why)
        self.why = why


class Mean(RegressorMixin, BaseEstimator):
    def __init__(self, shift=0.0):
        self.shift = shift

    def fit(self, X, y):
        self.mean_ = float(np.mean(y)) + self.shift
        return self

    def predict(self, X):
        return np.full(len(X), self.mean_)


FACTOR = 1


def work(kind, n):
    note(f"work {kind} {n}")
    match kind:
        case "enum": return State.FAILED if n % 2 else State.OK
        case "int enum": return Level.LOW
        case "flags": return Flags.A | Flags.B
        case "dataclass": return Point(n)
        case "plain": return Plain(n)
        case "child": return Child(n)
        case "nested": return Point.Inner(n)
        case "named tuple": return Pair(n)
        case "old tuple": return Old(n, 2)
        case "exception": return Wrong(n, "so")
        case "class": return Plain
        case "classes": return {State: [Point, Child], Level.LOW: Pair}


def in_function(run):
    class Local:
        def __init__(self, n):
            self.n = n

    def make(n):
        note(f"local {n}")
        return Local(n)

    return [isinstance(found, Local) for found in run(make, range(3))]


def factories(run):
    def kind(name):
        class Made:
            def __init__(self, n):
                self.n, self.name = n, name
        return Made

    one, two = kind("one"), kind("two")

    def make_one(n):
        note(f"one {n}")
        return one(n)

    def make_two(n):
        note(f"two {n}")
        return two(n)

    first, second = list(run(make_one, range(2))), list(run(make_two, range(2)))
    return [type(one_found) is one for one_found in first] + [type(found) is two for found in second]


def on_workers(n):
    note(f"worker's {n}")
    class Own:
        value = n
    return Own()


def results(run):
    kinds = ["enum", "int enum", "flags", "dataclass", "plain", "child", "nested", "named tuple", "old tuple",
             "exception", "class", "classes"]
    found = {kind: list(run(functools.partial(work, kind), range(3))) for kind in kinds}
    yield "is", [one is State.FAILED for one in found["enum"]] + [one is Level.LOW for one in found["int enum"]]
    yield "flags", [one == Flags.A | Flags.B for one in found["flags"]]
    yield "equal", [found[name] == [kind(n) for n in range(3)] for name, kind in [
        ("dataclass", Point), ("plain", Plain), ("child", Child), ("nested", Point.Inner)]]
    yield "types", [type(found[kind][0]).__qualname__ for kind in kinds]
    yield "isinstance", [isinstance(one, kind) for name, kind in [
        ("enum", State), ("dataclass", Point), ("plain", Plain), ("child", Plain), ("nested", Point.Inner),
        ("named tuple", Pair), ("old tuple", Old), ("exception", Wrong)] for one in found[name]]
    yield "exceptions", [one.why for one in found["exception"]]
    yield "class", [one is Plain for one in found["class"]]
    yield "classes", [one[State][0] is Point and one[Level.LOW] is Pair for one in found["classes"]]
    global FACTOR
    FACTOR = 5
    yield "a global of a method", [one.twice() for one in found["plain"]]
    FACTOR = 1
    X, y = np.arange(12.0).reshape(6, 2), np.arange(6.0)
    fits = cross_validate(Mean(), X, y, cv=3, return_estimator=True, n_jobs=-1)
    yield "estimators", [type(one) is Mean and one.mean_ for one in fits["estimator"]]
    yield "in a function", in_function(run)
    yield "factories", factories(run)
    yield "workers'", [found.value for found in run(on_workers, range(3))]


with contextlib.ExitStack() as stack:
    if sys.argv[1] == "none":
        run = map
    else:
        import hpcml

        options = {"engine": sys.argv[1], "slots_per_node": 2, "progress": False}
        cluster = stack.enter_context(hpcml.Cluster(**options, resume=True))
        stack.enter_context(parallel_config("hpcml"))
        run = cluster.map
    print(json.dumps(dict(results(run))))
"""
EDITED = {
    "an enum's values": ("    FAILED = 2", "    FAILED = 3"),
    "a class's method": ("return 2 * self.n", "return 3 * self.n"),
}


def start(place, engine):
    executed = place / "executed"
    executed.unlink(missing_ok=True)
    done = subprocess.run(
        [sys.executable, "main.py", engine], cwd=place, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = executed.read_text().splitlines() if executed.exists() else []
    return json.loads(done.stdout), sorted(lines), done.stderr


@functools.cache
def expected_of(script):
    """Return the results and executed tasks of a script's text in one process."""
    with tempfile.TemporaryDirectory() as place:
        Path(place, "main.py").write_text(script)
        found, executed, _ = start(Path(place), "none")
        return found, executed


@pytest.fixture(scope="module", params=ENGINES)
def place(request, tmp_path_factory):
    """Directory where a script has run once, and the engine of that run."""
    place = tmp_path_factory.mktemp(request.param)
    (place / "main.py").write_text(SCRIPT)
    return place, request.param


def test_recalled_objects_are_of_the_scripts_classes(place):
    place, engine = place
    expected, ran = expected_of(SCRIPT)
    first, executed, message = start(place, engine)
    assert first == expected
    assert executed == ran
    again, executed, message = start(place, engine)
    assert again == expected
    assert executed == []
    assert "recorded result" not in message
    assert "cannot be recognised" not in message


@pytest.mark.parametrize("place", ["local"], indirect=True)  # the same on all engines
@pytest.mark.parametrize("name", EDITED)
def test_tasks_of_a_changed_class_run_again(place, name):
    place, engine = place
    before, after = EDITED[name]
    assert before in SCRIPT
    (place / "main.py").write_text(SCRIPT.replace(before, after))
    expected, _ = expected_of(SCRIPT.replace(before, after))
    found, executed, _ = start(place, engine)
    assert found == expected
    assert "work enum 0" in executed
