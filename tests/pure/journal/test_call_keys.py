"""Keys of calls: equal for what is the same, in every process, and different for all that can change a result."""

import copy
import functools
import json
import os
import subprocess
import sys
import textwrap
import time
import types

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hpcml.cluster.calls import Calls
from hpcml.data import code_versions as sources
from hpcml.data import libraries
from hpcml.data.call_data import CallData
from hpcml.data.definitions import is_named
from hpcml.data.digests import ContentDigests
from hpcml.errors import TaskError
from hpcml.journal.call_keys import CallKeys


def key(thing):
    return CallKeys().digest(thing)


# ---- the same in every process

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
    shared.call(shared.write(function), args, kwargs)
    times.append(time.perf_counter() - began)
print(f"{sorted(times)[len(times) // 2] * 1e6:.0f}")
"""


def run(program, seed):
    environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
    return subprocess.Popen([sys.executable, program], env=environment, stdout=subprocess.PIPE, text=True)


def test_equal_in_every_process(tmp_path, record_property):
    program = tmp_path / "things.py"
    program.write_text(THINGS + REPORT + COST)
    moved = tmp_path / "moved.py"  # where the code stands does not matter, nor comments
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


# ---- different, when what it does is

SCRIPT = """
    import helper
    import pack.sub
    from pack import deep
    LIMIT = 3
    UNUSED = 1

    def inner(x):
        return x * 2

    def make(n):
        def closed(x):
            return x + n
        return closed

    closed = make(5)

    class Parent:
        rate = 0.1

    class Model(Parent):
        def fit(self, x):
            try:
                found = x * self.rate
                inner(x)
            except KeyError:
                found = 0
            return found

    def task(x, power=2, *, more=7):
        import lazy
        from pack import lazy_part
        values = [n for n in range(x) if n < LIMIT]
        return inner(x) ** power + helper.f(x) + closed(x) + Model().fit(x) + lazy.g(x) + pack.sub.h(x) + deep.d(x)
"""
HELPER = """import functools
import far
from numbers_of_mine import ALPHA

def f(x):
    import late
    return far.f(x) + late.f(x)

@functools.lru_cache
def cached(x):
    return 2 * x
"""
FILES = {
    "helper.py": HELPER,
    "far.py": "def f(x):\n    return x\n",
    "numbers_of_mine.py": "ALPHA = 1\n",
    "late.py": "def f(x):\n    return x\n",
    "lazy.py": "def g(x):\n    return x\n",
    "pack/__init__.py": "START = 1\n",
    "pack/sub.py": "from . import beside\nfrom .under.low import bottom\ndef h(x):\n    return x\n",
    "pack/beside.py": "B = 1\n",
    "pack/deep.py": "def d(x):\n    return x\n",
    "pack/lazy_part.py": "L = 1\n",
    "pack/under/__init__.py": "",
    "pack/under/low.py": "bottom = 1\n",
    "stranger.py": "S = 1\n",
}


@pytest.fixture
def task_key(tmp_path, monkeypatch):
    """Return the key of the script's task after something was replaced in one of the files."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(name="", old="", new=""):
        files = {"script": SCRIPT, **FILES}
        if name:
            assert old in files[name]
            files[name] = files[name].replace(old, new)
        script = types.ModuleType("__main__")
        for cache in (sources._sources, sources._digests):
            cache.clear()
        for path, text in files.items():
            if path != "script":
                monkeypatch.delitem(sys.modules, path.removesuffix(".py").replace("/", "."), raising=False)
                (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / path).write_text(text)
        for module in ("pack", "pack.under"):
            monkeypatch.delitem(sys.modules, module, raising=False)
        exec(compile(textwrap.dedent(files["script"]), "script", "exec"), vars(script))
        return key(script.task)

    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode  # files change within a second
    yield make
    sys.dont_write_bytecode = before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("script", "x * 2", "x * 3"),  # a function that the task calls
        ("script", "power=2", "power=3"),
        ("script", "more=7", "more=8"),
        ("script", "LIMIT = 3", "LIMIT = 4"),  # within a comprehension
        ("script", "LIMIT = 3", "LIMIT = 3.0"),
        ("script", "make(5)", "make(6)"),
        ("script", "x + n", "x - n"),
        ("script", "rate = 0.1", "rate = 0.2"),  # of the class that a class inherits from
        ("script", "x * self.rate", "x / self.rate"),
        ("script", "inner(x)\n            except KeyError:\n                found = 0",
         "pass\n            except KeyError:\n                found = 0"),
        ("script", "except KeyError", "except ValueError"),
        ("helper.py", "return far", "return 2 * far"),
        ("far.py", "return x", "return 2 * x"),  # a module that a module imports
        ("numbers_of_mine.py", "1", "2"),  # of which only a number is imported
        ("late.py", "return x", "return 2 * x"),  # imported within a function of a module
        ("lazy.py", "return x", "return 2 * x"),  # imported within the task
        ("pack/lazy_part.py", "1", "2"),
        ("pack/__init__.py", "1", "2"),
        ("pack/sub.py", "return x", "return 2 * x"),
        ("pack/deep.py", "return x", "return 2 * x"),
        ("pack/beside.py", "1", "2"),  # relative imports
        ("pack/under/low.py", "1", "2"),
    ],
)  # fmt: skip
def test_what_changes_a_function_changes_its_key(task_key, name, old, new):
    assert task_key() != task_key(name, old, new)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("script", "UNUSED = 1", "UNUSED = 2"),
        ("script", "    def inner", "    # words\n\n    def inner"),
        ("script", "import helper", "import stranger\n    import helper"),
        ("stranger.py", "1", "2"),
    ],
)
def test_what_does_not_change_a_function_does_not_change_its_key(task_key, name, old, new):
    assert task_key() == task_key(name, old, new)


def test_a_function_of_a_users_module_goes_by_its_file(task_key):
    def by_name(*change):
        task_key(*change)
        import helper

        assert is_named(helper.f)
        return key(helper.f), key((helper.f, 1)), key({"f": helper.f}), key(helper.cached), key([helper.cached])

    before = by_name()
    assert before == by_name()
    for change in (
        [("helper.py", "2", "2")]
        if False
        else [("helper.py", "return far", "return 2 * far"), ("far.py", "x", "z")]
    ):
        assert not set(before) & set(by_name(*change))


def test_a_function_of_the_script_that_keeps_its_results():
    def make(function):
        return functools.lru_cache(maxsize=3)(function)

    assert key(make(lambda x: x)) == key(make(lambda x: x)) != key(make(lambda x: -x))


def test_a_try_that_ends_elsewhere():
    def one():
        try:
            first()
            second()
        except KeyError:
            pass

    def two():
        try:
            first()
        except KeyError:
            pass
        else:
            second()

    two.__qualname__ = one.__qualname__
    two.__name__ = one.__name__
    two.__code__ = two.__code__.replace(co_name=one.__code__.co_name)
    assert key(one) != key(two)


first = second = print


def test_a_virtual_environment_around_the_users_modules(tmp_path):
    """`python -m venv .` in the folder of a project does not make its modules a library."""
    program = (
        "import sys; sys.prefix = sys.argv[1]; import mine, hpcml.data.code_versions as s\n"
        "print(s.module_digest('mine'))"
    )
    found = []
    for text in ("A = 1", "A = 2"):
        (tmp_path / "mine.py").write_text(text)
        command = [sys.executable, "-B", "-c", program, str(tmp_path)]
        found.append(
            subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60).stdout
        )
    assert found[0] != found[1]


def test_the_version_of_a_library_is_in_the_key(monkeypatch):
    before = key(pd.DataFrame)
    sources._digests.clear()
    libraries.version.cache_clear()
    monkeypatch.setattr(pd, "__version__", "0.1")
    assert key(pd.DataFrame) != before
    sources._digests.clear()
    libraries.version.cache_clear()


def make_lambdas():
    return [lambda: 1, lambda: 2]


def test_which_of_several_functions_is_meant():
    one, two = make_lambdas()
    assert key([[one, two], one]) != key([[one, two], two])
    assert key({"all": {one: 1}, "key": one}) != key({"all": {one: 1}, "key": two})


def test_functions_that_exist_for_a_moment_are_not_confused():
    class Maker:
        def __init__(self, number):
            self.number = number

        def __reduce__(self):
            return dict, ({"f": eval(f"lambda: {self.number}")},)

    assert key([Maker(1), Maker(2)]) != key([Maker(1), Maker(1)])
    assert key([Maker(1), Maker(2)]) == key([Maker(1), Maker(2)])


def test_metaclasses_and_empty_cells():
    class Meta(type):
        pass

    def plain(kind):
        return kind("Plain", (), {"__module__": "__main__"})

    assert key(plain(type)) != key(plain(Meta))

    def cells(fill):
        def function():
            return a, b

        if fill == "a":
            a = 5
        else:
            b = 5
        return function

    assert key(cells("a")) != key(cells("b"))


def deap_class(weights):
    module = types.ModuleType("deap.creator")
    module.Fitness = type("Fitness", (tuple,), {"__module__": "deap.creator", "weights": weights})
    return module


def test_classes_that_the_script_puts_into_deap(monkeypatch):
    keys = set()
    for weights in [(1.0,), (-1.0,)] * 2:
        module = deap_class(weights)
        monkeypatch.setitem(sys.modules, "deap.creator", module)
        keys.add(key(module.Fitness((1,))))
    assert len(keys) == 2


# ---- content

PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=5)
HASHABLE = st.recursive(PLAIN, lambda part: st.tuples(part, part) | st.frozensets(part, max_size=3), max_leaves=5)
CONTENT = st.recursive(
    PLAIN | st.sets(HASHABLE, max_size=4),
    lambda part: st.lists(part, max_size=4) | st.tuples(part) | st.dictionaries(HASHABLE, part, max_size=3),
    max_leaves=12,
)


def canonical(thing):
    """Return text that is equal for what has the same content, by another road than keys take."""
    if isinstance(thing, set | frozenset):
        return f"{type(thing).__name__}({sorted(map(canonical, thing))})"
    if isinstance(thing, list | tuple):
        return f"{type(thing).__name__}({[canonical(part) for part in thing]})"
    if isinstance(thing, dict):
        return f"dict({[(canonical(name), canonical(part)) for name, part in thing.items()]})"
    return f"{type(thing).__name__}({thing!r})"


def is_immutable(thing):
    if isinstance(thing, tuple):
        return all(map(is_immutable, thing))
    return not isinstance(thing, list | dict | set)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(CONTENT, CONTENT)
def test_keys_are_equal_where_content_is(one, two):
    assert (key(one) == key(two)) == (canonical(one) == canonical(two))
    assert key(copy.deepcopy(one)) == key(one)
    assert (key([one, one]) == key([one, copy.deepcopy(one)])) == is_immutable(one)  # one object twice, or two
    assert key((one, two)) != key((two, one)) or canonical(one) == canonical(two)


DTYPES = ["?", "i1", "i4", ">i4", "f4", "f8", "c8", "U3", "S3", "M8[s]", "m8[D]", [("a", "i4"), ("b", "f8", 2)]]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.sampled_from(DTYPES), st.lists(st.integers(0, 4), max_size=3), st.data())
def test_keys_of_arrays(dtype, shape, data):
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    content = bytes(number % 2 for number in data.draw(st.binary(min_size=size, max_size=size)))
    array = np.frombuffer(content, dtype).reshape(shape) if content else np.empty(shape, dtype)
    assert key(array) == key(array.copy())
    wide = np.empty((*shape, 3), dtype)
    wide[..., 1] = array
    assert key(wide[..., 1]) == key(array)  # strided
    assert key(array[None]) != key(array)  # shape
    if size:
        other = bytearray(content)
        place = data.draw(st.integers(0, size - 1))
        other[place] ^= 1
        assert key(np.frombuffer(bytes(other), dtype).reshape(shape)) != key(array)


def test_keys_of_equal_bytes_of_other_kinds():
    assert len({key(np.zeros(4, dtype)) for dtype in DTYPES}) == len(DTYPES)


def test_arrays_of_other_kinds():
    square = np.arange(9.0).reshape(3, 3)
    masked = np.ma.masked_equal(square, 3.0)
    kinds = [
        square, square.T, square[::-1], square[:, :1], square.astype(object), square.view(np.recarray), masked,
        np.ma.masked_equal(square, 4.0), np.ma.array(square, mask=masked.mask, fill_value=9), square.ravel(),
        square[0, 0], np.array(None), np.array([None]), pd.Series(square[0]), pd.Index(square[0]),
        pd.DataFrame(square), pd.DataFrame(square, columns=list("abc")), scipy.sparse.csr_matrix(square),
        scipy.sparse.csc_matrix(square), scipy.sparse.csr_array(square), np.random.RandomState(1),
        np.random.RandomState(2), np.random.default_rng(1), np.random.default_rng(2),
    ]  # fmt: skip
    keys = [key(kind) for kind in kinds]
    assert len(set(keys)) == len(keys)
    assert [key(copy.deepcopy(kind)) for kind in kinds] == keys
    wide = np.broadcast_to(square[0], (3, 3))
    assert key(wide) == key(np.array(wide, order="C"))
    state = np.random.RandomState(1)
    state.rand()
    assert key(state) not in keys  # where it stands in its sequence


def test_what_refers_to_itself():
    def make(value):
        ring = [value, {}]
        ring[1]["ring"] = ring
        return ring

    assert key(make(1)) == key(make(1)) != key(make(2))
    assert key({"a": {frozenset(["b"])}, "r": make(1)}) == key({"a": {frozenset(["b"])}, "r": make(1)})


def test_objects_that_share_each_other_take_no_time_without_end():
    shared = [0]
    for _ in range(60):
        shared = [shared, shared]
    began = time.monotonic()
    keys = [key(shared)]
    shared = [1]
    for _ in range(60):
        shared = [shared, shared]
    assert key(shared) not in keys
    assert time.monotonic() - began < 60  # without a limit it is 2**60 steps


# ---- large arrays, which are looked at once in a call


@pytest.mark.parametrize("nbytes", [1 << 17, 1 << 23])
def test_a_large_array_that_changes_between_two_calls(nbytes):
    array = np.zeros(nbytes, np.uint8)
    before = CallKeys(ContentDigests(1 << 20)).digest((array,))
    array[-1] = 1
    assert CallKeys(ContentDigests(1 << 20)).digest((array,)) != before


def test_a_buffer_that_is_refilled_within_a_call():
    """What is not above the limit is sent each time as it is then, so its key says so."""
    keys, found = CallKeys(ContentDigests(1 << 20)), []
    buffer = np.zeros(1 << 17)
    assert buffer.nbytes == 1 << 20
    for number in range(3):
        buffer[:] = number
        found.append(keys.digest((buffer,)))
    assert len(set(found)) == 3


def test_what_is_above_the_limit_is_looked_at_once(monkeypatch):
    looked = []
    real = CallKeys.lend

    def lend(self, nbytes, name, owner, produce):
        return real(self, nbytes, name, owner, lambda: looked.append(1) or produce())

    monkeypatch.setattr(CallKeys, "lend", lend)
    keys, array = CallKeys(ContentDigests(1 << 20)), np.zeros((1 << 17) + 1)
    assert len({keys.digest((array, number, object)) for number in range(5)}) == 5
    assert len(looked) == 1
    keys.digest((array[1:], array[::2], array.view("i8"), object))
    del array
    keys.digest((np.ones((1 << 17) + 1), object))  # where the first was, perhaps
    assert len(looked) >= 3


# ---- calls


class Given:
    """In the place of a ledger: takes the digests."""

    known = 0

    def __init__(self):
        self.digests, self.key_seconds = [], {}

    def keys(self, digests):
        self.digests += digests
        return digests

    def answer(self, _):
        return None

    def meet(self, classes):
        pass


def call_keys(*calls, **settings):
    ledger = Given()
    made = Calls(CallData(None, None), ledger, at_once=False)
    for function, args, kwargs in calls:
        made.make(function, args, kwargs, "group", **settings)
    return ledger.digests


def test_calls_with_other_arguments_are_other_calls():
    calls = [
        (max, (1, 2), {}), (min, (1, 2), {}), (max, (2, 1), {}), (max, ((1, 2),), {}), (max, (1, 2), {"a": 1}),
        (max, ((1, 2), {"a": 1}), {}), (max, (1, 2, ("a", 1)), {}), (max, (1.0, 2), {}), (max, (True, 2), {}),
        (max, (), {}), (max, (None,), {}), (max, ("1", "2"), {}), (max, (b"1", b"2"), {}), (max, ([1, 2],), {}),
        (max, (-0.0,), {}), (max, (0.0,), {}), (max, (), {"a": 1, "b": 2}), (max, (), {"a": 1}),
    ]  # fmt: skip
    keys = call_keys(*calls)
    assert len(set(keys)) == len(calls)
    assert call_keys(*reversed(calls)) == keys[::-1]


def test_a_call_is_the_same_in_a_chunk():
    calls = [(max, (1, n), {}) for n in range(3)] + [(max, (1, n), {"key": None}) for n in range(3)]
    ledger = Given()
    _, chunk = Calls(CallData(None, None), ledger, at_once=False).make_chunk(max, calls, "group", None)
    assert ledger.digests == call_keys(*calls)
    assert chunk.keys == tuple(ledger.digests)


def test_a_function_that_changes_between_two_calls():
    count = 0

    def function():
        return count

    count = 1
    first = call_keys((function, (), {}))
    count = 2
    assert call_keys((function, (), {})) != first
    counter = types.SimpleNamespace(n=1)
    ledger = Given()
    made = Calls(CallData(None, None), ledger, at_once=False)
    for number in (1, 2):
        counter.n = number
        made.make(lambda: counter.n, (), {}, "group")
    assert len(set(ledger.digests)) == 2


def test_a_call_that_cannot_be_recognised_is_told_once(caplog):
    class Stubborn:
        def __reduce__(self):
            if self.asked:
                return dict, ()
            raise KeyError("not now")

        asked = False

    thing = Stubborn()
    ledger = Given()
    for _ in range(3):
        with pytest.raises(TaskError, match="not now"):
            Calls(CallData(None, None), ledger, at_once=False).make(len, (thing,), {}, "group")
    assert not ledger.digests
    assert caplog.text.count("cannot be recognised when the run is resumed") == 1


X, Y = np.arange(60.0).reshape(30, 2), np.arange(30) % 2


class Taken(Exception):
    pass


@pytest.fixture
def fit_keys(monkeypatch):
    """Return the keys of the fits of a search, which does not run."""
    taken = []

    def parallel(_, calls):
        taken[:] = calls
        raise Taken

    monkeypatch.setattr("sklearn.utils.parallel.Parallel.__call__", parallel)

    def keys(search, table=X, labels=Y):
        with pytest.raises(Taken):
            search.fit(table, labels)
        return call_keys(*taken)

    return keys


def search(costs=(1.0, 2.0), random_state=0, folds=3, **settings):
    grid = {"logisticregression__C": list(costs)}
    model = make_pipeline(StandardScaler(), LogisticRegression(random_state=random_state))
    return GridSearchCV(model, grid, cv=KFold(folds, shuffle=True, random_state=random_state), **settings)


def test_a_fit_is_the_same_in_a_larger_grid_and_on_other_machines(fit_keys):
    few = fit_keys(search())
    assert len(set(few)) == 6
    assert few == fit_keys(search(n_jobs=7, pre_dispatch=20, verbose=3))
    assert set(few) < set(fit_keys(search(costs=(0.5, 1.0, 1.5, 2.0), refit=False)))


@pytest.mark.parametrize(
    "changed",
    [
        {"random_state": 1},
        {"scoring": "f1"},
        {"error_score": 0.0},
        {"return_train_score": True},
        {"costs": [1, 2]},
    ],
)
def test_what_changes_a_fit(fit_keys, changed):
    assert not set(fit_keys(search())) & set(fit_keys(search(**changed)))


def test_other_data_is_another_fit(fit_keys):
    before = fit_keys(search(), X, Y)
    changed = X.copy()
    changed[7, 1] += 1e-12
    for data in [(changed, Y), (X.astype("f4"), Y), (pd.DataFrame(X), Y), (X, 1 - Y), (X, Y.astype("i1"))]:
        assert not set(before) & set(fit_keys(search(), *data))
    assert before == fit_keys(search(), X.copy(), Y.copy())


def test_the_state_of_the_process_generator_is_not_part_of_a_key():
    import random

    draw = random.random
    before = CallKeys().digest(lambda: 1 + draw())
    random.seed(3)
    assert CallKeys().digest(lambda: 1 + draw()) == before
    assert CallKeys().digest((random.Random(1),)) != CallKeys().digest((random.Random(2),))
