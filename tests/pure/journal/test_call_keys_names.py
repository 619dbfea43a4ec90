"""Keys of things with a name: a name stands for them only where cloudpickle sends the name alone."""

import functools
import json
import os
import pickletools
import sys
import types

import cloudpickle
import numpy as np
import pytest
from keyed_calls import Node, key

from hpcml.data.definitions import is_named


class Scaled:
    def __init__(self, function):
        functools.update_wrapper(self, function)
        self.function = function
        self.scale = 1

    def __call__(self, x):
        return self.function(x) * self.scale


@pytest.fixture
def library(monkeypatch):
    """Return a module of the user's that can be imported by name."""
    module = types.ModuleType("of_mine")
    exec("def f(x):\n    return SCALE * x\nSCALE = 1\nclass Kind:\n    pass\n", vars(module))
    monkeypatch.setitem(sys.modules, "of_mine", module)
    return module


def test_the_state_of_a_decorated_function_is_in_the_key(library):
    library.f = Scaled(library.f)
    assert library.f.__qualname__ == "f"
    assert not is_named(library.f)
    before = key(library.f)
    library.f.scale = 2
    assert key(library.f) != before


def test_the_key_of_a_module_sent_by_value_follows_its_content(library):
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


def test_globals_that_a_reduction_sends_are_in_the_key(library):
    class Compiled:
        def __init__(self, function):
            self.__name__ = "f"
            self.__qualname__ = "f"
            self.__module__ = "of_mine"
            self.function = function

        def __reduce__(self):
            used = {name: vars(library)[name] for name in self.function.__code__.co_names}
            return Compiled, (self.function.__code__.co_code, used)

    library.f = Compiled(library.f)
    before = key(library.f)
    library.SCALE = 3
    assert key(library.f) != before


def test_the_key_of_an_object_sent_by_its_name_has_no_state(library):
    class One:
        def __reduce__(self):
            return "ONE"

    One.__module__ = "of_mine"
    One.__qualname__ = "One"
    library.One = One
    library.ONE = One()
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
def test_an_object_is_named_where_cloudpickle_sends_its_name_alone(thing):
    state = cloudpickle.dumps(thing)
    names = {b"STACK_GLOBAL"} if is_named(thing) else set()
    opcodes = {code.name for code, _, _ in pickletools.genops(state)}
    only_a_name = "STACK_GLOBAL" in opcodes and not opcodes & {"REDUCE", "BUILD", "NEWOBJ", "NEWOBJ_EX"}
    assert bool(names) == only_a_name
