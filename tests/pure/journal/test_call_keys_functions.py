"""Keys of functions: different where the code of a call differs, and only there."""

import functools
import subprocess
import sys
import textwrap
import types

import pandas as pd
import pytest
from keyed_calls import key

from hpcml.data import code_versions as sources
from hpcml.data import libraries
from hpcml.data.definitions import is_named
from hpcml.journal.call_keys import CallKeys

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
    """Function that returns the key of the script's task, after a replacement in one of the files."""
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
def test_an_edit_that_changes_a_function_changes_its_key(task_key, name, old, new):
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
def test_an_edit_that_changes_no_function_changes_no_key(task_key, name, old, new):
    assert task_key() == task_key(name, old, new)


def test_the_key_of_a_function_of_a_users_module_follows_its_file(task_key):
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


def test_the_key_of_a_cached_function_is_that_of_its_code():
    def make(function):
        return functools.lru_cache(maxsize=3)(function)

    assert key(make(lambda x: x)) == key(make(lambda x: x)) != key(make(lambda x: -x))


def test_the_end_of_a_try_block_is_in_the_key():
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


def test_modules_inside_a_virtual_environment_are_the_users(tmp_path):
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


def test_equal_names_of_different_functions_are_not_confused():
    one, two = make_lambdas()
    assert key([[one, two], one]) != key([[one, two], two])
    assert key({"all": {one: 1}, "key": one}) != key({"all": {one: 1}, "key": two})


def test_functions_made_while_pickling_are_not_confused():
    class Maker:
        def __init__(self, number):
            self.number = number

        def __reduce__(self):
            return dict, ({"f": eval(f"lambda: {self.number}")},)

    assert key([Maker(1), Maker(2)]) != key([Maker(1), Maker(1)])
    assert key([Maker(1), Maker(2)]) == key([Maker(1), Maker(2)])


def test_metaclasses_and_empty_cells_are_in_the_key():
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


def test_classes_of_deaps_creator_are_in_the_key(monkeypatch):
    keys = set()
    for weights in [(1.0,), (-1.0,)] * 2:
        module = deap_class(weights)
        monkeypatch.setitem(sys.modules, "deap.creator", module)
        keys.add(key(module.Fitness((1,))))
    assert len(keys) == 2


def test_the_state_of_the_process_generator_is_not_part_of_a_key():
    import random

    draw = random.random
    before = CallKeys().digest(lambda: 1 + draw())
    random.seed(3)
    assert CallKeys().digest(lambda: 1 + draw()) == before
    assert CallKeys().digest((random.Random(1),)) != CallKeys().digest((random.Random(2),))
