"""Snapshots: they change with each change that a call can make to the objects of a function, and only then."""

import array
import collections
import functools
import random
import types

import numpy as np
import pytest

from hpcml.engines.snapshots import take_snapshot


class Plain:
    shared = 1

    def __init__(self):
        self.value = 1
        self.inner = [1, [2]]

    def method(self):
        return self.value


class Slotted:
    __slots__ = ("__hidden", "a")

    def __init__(self):
        self.a = [1]
        self.__hidden = 2

    def hide(self):
        self.__hidden = 3


class Dict(dict):
    pass


def script_function(code, **variables):
    """Return a function of a script, with globals of its own."""
    space = {"__name__": "__main__", **variables}
    exec(code, space)
    return space["f"]


def change_attribute(thing):
    thing.value = 2


CASES = {
    "a list": (lambda: [1, 2], lambda it: it.append(3)),
    "an equal item of another type": (lambda: [1, 2], lambda it: it.__setitem__(0, 1.0)),
    "an item that moves to the next list": (lambda: [[1, 2], [3]], lambda it: it[1].insert(0, it[0].pop())),
    "a dict": (lambda: {"a": 1}, lambda it: it.update(a=2)),
    "the order of a dict": (lambda: {"a": 1, "b": 2}, lambda it: it.update(a=it.pop("a"))),
    "a key": (lambda: {"a": 1}, lambda it: it.update(b=it.pop("a"))),
    "an empty dict": (dict, lambda it: it.update(a=1)),
    "an empty list in a tuple": (lambda: ([],), lambda it: it[0].append(1)),
    "a set": (lambda: {1, 2}, lambda it: it.add(3)),
    "a deque": (lambda: collections.deque([1]), lambda it: it.append(2)),
    "a default dict": (lambda: collections.defaultdict(list), lambda it: it["a"]),
    "a default factory": (lambda: collections.defaultdict(list), lambda it: setattr(it, "default_factory", dict)),
    "an ordered dict": (lambda: collections.OrderedDict(a=1, b=2), lambda it: it.move_to_end("a")),
    "a counter": (lambda: collections.Counter("ab"), lambda it: it.update("a")),
    "an attribute": (Plain, change_attribute),
    "something deep": (Plain, lambda it: it.inner[1].append(1)),
    "a new attribute": (Plain, lambda it: setattr(it, "other", None)),
    "a method's object": (lambda: Plain().method, lambda it: change_attribute(it.__self__)),
    "a slot": (Slotted, lambda it: setattr(it, "a", [1])),
    "a private slot": (Slotted, lambda it: it.hide()),
    "a subclass of dict": (Dict, lambda it: it.update(a=1)),
    "its attribute": (Dict, lambda it: setattr(it, "a", 1)),
    "a partial": (lambda: functools.partial(max, key=[1].index), lambda it: it.keywords.update(default=1)),
    "a bound method of C": (lambda: [1].append, lambda it: it(2)),
    "a global": (
        lambda: script_function("n = 0\ndef f():\n    global n\n    n += 1"), lambda it: it()
    ),
    "a captured variable": (
        lambda: script_function("def g():\n n = [0]\n def h(): n[0] += 1\n return h\nf = g()"), lambda it: it()
    ),
    "a default": (lambda: script_function("def f(known={}): known[1] = 1"), lambda it: it()),
    "a function's attribute": (lambda: script_function("def f(): f.n = 1"), lambda it: it()),
    "a class of the script": (
        lambda: script_function("class C:\n n = 0\ndef f(): C.n += 1"), lambda it: it()
    ),
    "an array": (lambda: np.zeros(3), lambda it: it.__setitem__(0, 1)),
    "a zero's sign": (lambda: np.zeros(3), lambda it: it.__setitem__(0, -0.0)),
    "an array of the array module": (lambda: array.array("d", [1]), lambda it: it.append(2)),
    "an array in an object": (lambda: types.SimpleNamespace(a=np.zeros(3)), lambda it: it.a.fill(2)),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_change_of_the_state_changes_the_snapshot(name):
    make, change = CASES[name]
    thing = make()
    snapshot = take_snapshot(thing)
    if name == "an array in an object" and snapshot is None:  # a namespace is written in C
        return
    assert snapshot.is_unchanged()
    assert snapshot.is_unchanged()
    change(thing)
    assert not snapshot.is_unchanged()


UNSEEN = {
    "a generator of random numbers": lambda: random.Random(1),
    "numpy's": lambda: np.random.default_rng(1),
    "an iterator": lambda: iter([1, 2]),
    "a generator": lambda: (n for n in ()),
    "an array of objects": lambda: np.array([[1], None], dtype=object),
    "a large array": lambda: np.zeros(1 << 18),
    "many objects": lambda: [[n] for n in range(30_000)],
    "a cache": lambda: functools.lru_cache(lambda n: n),
}


@pytest.mark.parametrize("name", UNSEEN)
def test_a_state_that_cannot_be_compared_has_no_snapshot(name):
    assert take_snapshot([UNSEEN[name]()]) is None


def test_state_of_the_process_is_not_in_the_snapshot():
    thing = [random.random, np.random.rand, collections.OrderedDict, pytest, take_snapshot, Plain]
    snapshot = take_snapshot(thing)
    random.random()
    Plain.shared = 2
    assert snapshot.is_unchanged()
