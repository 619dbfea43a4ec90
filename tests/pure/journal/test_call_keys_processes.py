"""Keys are the same in every process."""

import json
import os
import subprocess
import sys

THINGS = r"""
import abc, collections, dataclasses, datetime, decimal, enum, functools, json, re, sys, types, typing
import numpy as np
import pandas as pd
import scipy.sparse
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold, RandomizedSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
import sklearn.model_selection._search as search
from hpcml.journal.call_keys import CallKeys

WORDS = {f"word {n}" for n in range(50)}
FACTOR = 3

def scale(x, by=FACTOR, *, more=("a", 1)):
    return [x * by for _ in WORDS if x in {"p", "q", "r", "s"}]

def factorial(n):
    return 1 if n < 2 else n * factorial(n - 1)

def make(n):
    def closed(x, seen=frozenset({"u", "v", "w"})):
        return inner(x) + n
    inner = lambda x: x * n if x else closed(x)
    return closed

def even(n):
    return n == 0 or odd(n - 1)

def odd(n):
    return n != 0 and even(n - 1)

class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"
    def shade(self):
        return Colour.RED

class Flags(enum.IntFlag):
    A = 1
    B = 2

@dataclasses.dataclass
class Point:
    x: int
    tags: set = dataclasses.field(default_factory=set)
    def moved(self):
        return Point(self.x + 1, self.tags)

@dataclasses.dataclass(frozen=True, order=True, slots=True)
class Frozen:
    x: int = 4

class Base(abc.ABC):
    names = {"k", "l", "m"}
    __slots__ = ("a",)
    @abc.abstractmethod
    def run(self): ...
    @property
    def twice(self):
        return 2 * self.a
    @staticmethod
    def static():
        return FACTOR
    @classmethod
    def made(cls):
        return cls()

class Derived(Base):
    def __init__(self):
        self.a, self.b = 1, {"x", "y", "z"}
    def run(self):
        return super().run()

class Pair(typing.NamedTuple):
    a: int
    b: str = "b"

creator = types.ModuleType("deap.creator")
sys.modules["deap.creator"] = creator
creator.Individual = type("Individual", (list,), {"__module__": "deap.creator", "weights": (1.0, -1.0)})
individual = creator.Individual([1, 2])
individual.fitness = {"p", "q"}

cyclic = [1, {"s", "t"}]
cyclic.append(cyclic)
node = types.SimpleNamespace(value=1)
node.me = node
X = np.arange(60.0).reshape(20, 3)
y = np.arange(20) % 2
frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"], "c": pd.Categorical(["u", "v"])})
frame.index = pd.date_range("2020", periods=2)

things = {
    "set": WORDS, "frozenset": frozenset(WORDS), "nested": {"k": [WORDS, (WORDS,)]}, "set of sets":
        {frozenset({"a", "b"}), frozenset({"c"})},
    "function": scale, "recursive": factorial, "closure": make(3), "lambda": lambda x: x in WORDS, "mutual": even,
    "enum": Colour.RED, "enum class": Colour, "flags": Flags.A | Flags.B, "dataclass": Point(1, set(WORDS)),
    "dataclass class": Point, "frozen": Frozen(), "class": Derived, "object": Derived(), "method": Derived().run,
    "class method": Derived.made, "named tuple": Pair(1), "partial": functools.partial(scale, 1, by=WORDS),
    "deap": individual, "cyclic": cyclic, "self": node, "ordered": collections.OrderedDict(a=WORDS),
    "counter": collections.Counter("abc"), "regex": re.compile("a+"), "date": datetime.date(2020, 1, 1),
    "decimal": decimal.Decimal("1.5"), "type": dict[str, set], "builtin": len, "ufunc": np.add, "module": json,
    "array": X, "fortran": np.asfortranarray(X), "objects": np.array([WORDS, "a", None], dtype=object),
    "strings": np.array(["a", "bb"]), "dates": np.array(["2020-01-01"], "M8[D]"), "scalar": np.float32(1),
    "structured": np.zeros(3, [("a", "i4"), ("b", "f8")]), "masked": np.ma.masked_equal(X, 3),
    "state": np.random.RandomState(3), "generator": np.random.default_rng(3), "dtype": np.dtype("f4"),
    "frame": frame, "series": frame["b"], "index": frame.index, "arrow": frame["b"].array,
    "csr": scipy.sparse.csr_matrix(X), "coo": scipy.sparse.coo_array(X),
    "estimator": RandomForestClassifier(random_state=np.random.RandomState(0)),
    "fitted": LogisticRegression().fit(X, y),
    "pipeline": make_pipeline(StandardScaler(), FunctionTransformer(lambda a: a + FACTOR), LogisticRegression()),
}
keys = {name: CallKeys().digest(thing) for name, thing in things.items()}

class Caught(Exception):
    pass

class Catcher:
    def __init__(self, **_):
        pass
    def __enter__(self):
        return self
    def __exit__(self, *_):
        pass
    def __call__(self, calls):
        raise Caught(list(calls))

search.Parallel = Catcher

def caught(made):
    try:
        made.fit(X, y)
    except Caught as calls:
        return calls.args[0]

grid = {"logisticregression__C": [0.1, 1.0], "logisticregression__max_iter": [10, 20]}
folds = KFold(3, shuffle=True, random_state=np.random.RandomState(1))
def accuracy(estimator, X, y):
    return estimator.score(X, y) * FACTOR
scoring = {"own": accuracy, "f1": "f1"}
calls = caught(GridSearchCV(things["pipeline"], grid, cv=folds, scoring=scoring, refit="own"))
keys["fits"] = [CallKeys().digest(call) for call in calls]
forest = RandomForestClassifier(random_state=np.random.RandomState(5))
forest = RandomizedSearchCV(forest, {"max_depth": [1, 2, 3, 4]}, n_iter=3, random_state=np.random.RandomState(7))
keys["random fits"] = [CallKeys().digest(call) for call in caught(forest)]
"""
REPORT = "\nprint(json.dumps(keys))\n"
COST = """
import time
X, y = np.arange(400_000.0).reshape(20_000, 20), np.arange(20_000) % 2
calls = caught(GridSearchCV(LogisticRegression(), {"C": list(np.arange(1.0, 101.0))}, cv=3))
from hpcml.data.digests import ContentDigests
shared = CallKeys(ContentDigests(1 << 20))
times = []
for function, args, kwargs in calls:
    began = time.perf_counter()
    kwargs.pop("caller")  # see hpcml.journal.call_keys.IGNORED_ARGUMENTS
    shared.call_digest(shared.object_digest(function), args, kwargs)
    times.append(time.perf_counter() - began)
print(f"{sorted(times)[len(times) // 2] * 1e6:.0f}")
"""


def run(program, seed):
    environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
    return subprocess.Popen([sys.executable, program], env=environment, stdout=subprocess.PIPE, text=True)


def test_keys_are_the_same_in_every_process(tmp_path, record_property):
    program = tmp_path / "things.py"
    program.write_text(THINGS + REPORT + COST)
    moved = tmp_path / "moved.py"  # neither the position of the code nor comments matter
    moved.write_text("# a comment\n\n" + THINGS.replace("\ndef ", "\n\n# why\n\ndef ") + REPORT)
    runs = [run(program, 1), run(program, 2), run(moved, 3)]
    first, second, third = (process.communicate(timeout=100)[0].splitlines() for process in runs)
    record_property("microseconds per key of a fit", first[1])
    print(f"\n{first[1]} microseconds per key of a _fit_and_score call")
    keys, *others = [json.loads(lines[0]) for lines in (first, second, third)]
    for other in others:
        assert {name: (keys[name], other[name]) for name in keys if keys[name] != other[name]} == {}
    assert len(keys["fits"]) == len(set(keys["fits"])) == 12
    assert len(keys["random fits"]) == len(set(keys["random fits"])) == 15
    single = [value for value in keys.values() if isinstance(value, str)]
    assert len(set(single)) == len(single)
