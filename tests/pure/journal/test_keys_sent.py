"""A key describes what is sent: which mutable objects are one and the same, and all that has no name elsewhere."""

import collections
import copy
import functools
import json
import os
import pickletools
import subprocess
import sys
import types

import cloudpickle
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcml.data.definitions import is_named
from hpcml.journal.call_keys import CallKeys


def key(thing):
    return CallKeys().digest(thing)


def call_key(function, *args, **kwargs):
    keys = CallKeys()
    return keys.call(keys.write(function), args, kwargs).digest


# ---- sharing


class Node:
    def __init__(self, value=0):
        self.value, self.near = value, []


def pairs():
    """Yield what has one object twice, and what has two that are equal."""
    row, array, node, table = [0] * 3, np.zeros(3), Node(), {"a": [1]}
    yield [row] * 3, [list(row) for _ in range(3)]
    yield (array, array), (array, array.copy())
    yield {"x": node, "y": node}, {"x": node, "y": Node()}
    yield [table, table["a"]], [table, [1]]
    yield [{1}] * 2, [{1}, {1}]
    yield [bytearray(b"ab")] * 2, [bytearray(b"ab"), bytearray(b"ab")]
    yield [collections.deque([1])] * 2, [collections.deque([1]), collections.deque([1])]
    large = np.zeros(1 << 18)
    yield [large, large], [large, large.copy()]
    yield [np.array([1, None])] * 2, [np.array([1, None]), np.array([1, None])]


def test_one_mutable_object_twice_is_not_two_that_are_equal():
    for one, two in pairs():
        assert key(one) != key(two)
        assert key(one) == key(copy.deepcopy(one))
        assert key(two) == key(copy.deepcopy(two))


def test_which_of_them_is_shared():
    a, b, c = [0], [0], [0]
    keys = {
        key([a, a, b, c]),
        key([a, b, a, c]),
        key([a, b, c, a]),
        key([a, a, a, b]),
        key([a, a, b, b]),
        key([a, b, b, a]),
    }
    assert len(keys) == 6
    assert key([a, b, a, c]) == key([c, a, c, b])


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize(
    "make",
    [
        lambda: "".join(["a", "b"]), lambda: int("12345678901"), lambda: (int("1"), ("a", 2.5)),
        lambda: frozenset(["a", ("b",)]), lambda: bytes([1, 2]), lambda: np.float64(2.5), lambda: float("1.5"),
        lambda: np.dtype([("a", "i4")]),
        lambda: complex(1, 2), lambda: range(5), lambda: slice(1, 2), lambda: list[int],
    ],
)  # fmt: skip
def test_whether_what_cannot_change_is_shared_does_not_matter(make):
    one, two = make(), make()
    assert key([one, one, []]) == key([one, two, []])
    assert key({"a": one, "b": [one]}) == key({"a": one, "b": [two]})


CONTENT = st.recursive(
    st.integers(0, 2) | st.sampled_from(["a", "b"]),
    lambda part: (
        st.lists(part, max_size=3) | st.tuples(part, part) | st.dictionaries(st.sampled_from("xyz"), part)
    ),
    max_leaves=8,
)


def structure(thing, seen):
    """Return content and sharing of mutable objects as text, by another road than keys take."""
    if isinstance(thing, list | dict):
        if id(thing) in seen:
            return f"again {seen[id(thing)]}"
        seen[id(thing)] = len(seen)
    if isinstance(thing, dict):
        return f"{{{[(name, structure(part, seen)) for name, part in thing.items()]}}}"
    if isinstance(thing, list | tuple):
        return f"{type(thing).__name__}{[structure(part, seen) for part in thing]}"
    return repr(thing)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.lists(CONTENT, min_size=1, max_size=4),
    st.lists(st.integers(0, 3), max_size=5),
    st.lists(st.integers(0, 3), max_size=5),
)
def test_keys_are_equal_where_content_and_sharing_are(parts, one, two):
    one = [parts[place % len(parts)] for place in one]
    two = [parts[place % len(parts)] for place in two]
    assert (key(one) == key(two)) == (structure(one, {}) == structure(two, {}))


def test_an_object_of_the_function_among_its_arguments():
    others = [Node(1), Node(2)]

    def score(others, me):
        return sum(one.value for one in others if one is not me)

    function = functools.partial(score, others)
    assert call_key(function, others[0]) != call_key(function, Node(1))
    assert call_key(function, others[0]) == call_key(
        functools.partial(score, (copied := copy.deepcopy(others))), copied[0]
    )
    assert call_key(others[0].near.append, others[1]) != call_key(others[0].near.append, others[0])


def test_functions_that_share_a_captured_variable():
    def make():
        n = 0

        def add():
            nonlocal n
            n += 1

        return add, lambda: n

    (add, get), (_, other) = make(), make()
    assert key((add, get)) != key((add, other))
    assert key(make()) == key(make())


def test_graphs_whose_nodes_are_in_sets():
    def ring(length):
        nodes = [Node(n) for n in range(length)]
        for number, node in enumerate(nodes):
            node.near = {nodes[number - 1], nodes[(number + 1) % length]}
        return nodes[0]

    assert key(ring(4)) == key(ring(4)) != key(ring(5))


# ---- what has a name, and what only looks so


class Scaled:
    def __init__(self, function):
        functools.update_wrapper(self, function)
        self.function, self.scale = function, 1

    def __call__(self, x):
        return self.function(x) * self.scale


@pytest.fixture
def library(monkeypatch):
    """Return a module of the user's that can be imported by name."""
    module = types.ModuleType("of_mine")
    exec("def f(x):\n    return SCALE * x\nSCALE = 1\nclass Kind:\n    pass\n", vars(module))
    monkeypatch.setitem(sys.modules, "of_mine", module)
    return module


def test_a_decorated_function_has_a_state(library):
    library.f = Scaled(library.f)
    assert library.f.__qualname__ == "f"
    assert not is_named(library.f)
    before = key(library.f)
    library.f.scale = 2
    assert key(library.f) != before


def test_modules_that_are_sent_by_value(library):
    assert is_named(library.f)
    before = key(library.f), key([library.Kind]), key([library])
    cloudpickle.register_pickle_by_value(library)
    try:
        by_value = key(library.f), key([library.Kind]), key([library])
        assert not is_named(library.f)
        library.SCALE = 10
        changed = key(library.f), key([library.Kind]), key([library])
    finally:
        cloudpickle.unregister_pickle_by_value(library)
    assert not set(before) & set(by_value)
    assert (changed[0] != by_value[0], changed[1] == by_value[1], changed[2] != by_value[2]) == (True, True, True)


def test_a_compiled_function_that_brings_its_globals(library):
    class Compiled:
        def __init__(self, function):
            self.__name__, self.__qualname__, self.__module__ = "f", "f", "of_mine"
            self.function = function

        def __reduce__(self):
            used = {name: vars(library)[name] for name in self.function.__code__.co_names}
            return Compiled, (self.function.__code__.co_code, used)

    library.f = Compiled(library.f)
    before = key(library.f)
    library.SCALE = 3
    assert key(library.f) != before


def test_an_object_that_is_a_global_name(library):
    class One:
        def __reduce__(self):
            return "ONE"

    One.__module__, One.__qualname__, library.One, library.ONE = "of_mine", "One", One, One()
    library.ONE.state = 1
    assert is_named(library.ONE)
    before = key([library.ONE])
    library.ONE.state = 2
    assert key([library.ONE]) == before  # workers have their own


@pytest.mark.parametrize(
    "thing",
    [len, np.add, os.path.join, json.JSONDecoder, functools.partial(len), [].append, lambda x: x,
     Node().near.append, Node, np.random.rand, str.upper, types.SimpleNamespace(), Scaled(len), "text", 3],
)  # fmt: skip
def test_what_is_named_is_what_cloudpickle_sends_as_a_name(thing):
    state = cloudpickle.dumps(thing)
    names = {b"STACK_GLOBAL"} if is_named(thing) else set()
    opcodes = {code.name for code, _, _ in pickletools.genops(state)}
    only_a_name = "STACK_GLOBAL" in opcodes and not opcodes & {"REDUCE", "BUILD", "NEWOBJ", "NEWOBJ_EX"}
    assert bool(names) == only_a_name


# ---- equal in every process

PROGRAM = r"""
import json, sys
import hpcml
from hpcml.journal.call_keys import CallKeys

class Words(set):
    def __init__(self, words=(), owner=None):
        super().__init__(words)
        self.owner = owner

class Frozen(frozenset):
    pass

class Node:
    def __init__(self, name):
        self.name, self.near = name, set()

class Held:
    def __init__(self, n):
        self.n = n

nodes = [Node(name) for name in "abcd"]
for one in nodes:
    one.near.update(other for other in nodes if other is not one)
names = [f"word {n}" for n in range(30)]
things = {
    "set": Words(names, "me"), "frozen": Frozen(names), "in a list": [Words(names), {"a": Frozen(names)}],
    "sets of sets": {frozenset(names), frozenset(names[3:])}, "graph": nodes, "long": 10 ** 5000,
    "long in a list": [10 ** 5000, {"a": -(10 ** 5000)}],
}
keys = {name: CallKeys().digest(thing) for name, thing in things.items()}
keys["a call"] = CallKeys().call(CallKeys().write(len), (10 ** 5000, "a"), {}).digest
with hpcml.Cluster(engine="local", slots_per_node=1, progress=False, run_dir="runs") as cluster:
    with cluster.broadcast([Held(n) for n in range(3)]) as handle, cluster.broadcast([Held(4)]) as other:
        keys["broadcast"], keys["another"] = CallKeys().digest((handle,)), CallKeys().digest((other,))
assert len(set(keys.values())) == len(keys), keys
print(json.dumps(keys))
"""


def test_equal_under_every_hash_seed(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    found = []
    for seed in "123":
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "program.py"]
        done = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False
        )
        assert done.returncode == 0, done.stderr
        found.append(json.loads(done.stdout))
    assert found[0] == found[1] == found[2]
