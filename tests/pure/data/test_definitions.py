"""Names of functions and classes: an object is found under its own name, or is not."""

import functools
import operator
import pickle
import sys
import types
from collections import OrderedDict

import pytest

from hpcml.data.definitions import find_by_name, is_found_by_name, module_name_of


class Outer:
    class Inner:
        pass

    def method(self):
        pass


def replaced():
    pass


original, replaced = replaced, functools.wraps(replaced)(lambda: None)


@pytest.mark.parametrize("thing", [functools.reduce, Outer.Inner, Outer.method, OrderedDict, pickle.dumps])
def test_an_object_is_found_under_its_name(thing):
    assert is_found_by_name(thing)
    assert find_by_name(thing.__module__, thing.__qualname__) is thing


@pytest.mark.parametrize("thing", [original, lambda: 1, type("Made", (), {})])
def test_a_name_that_means_another_object_or_none(thing):
    assert not is_found_by_name(thing)


def test_the_wrapper_is_found_in_place_of_the_wrapped():
    assert is_found_by_name(replaced)


def test_a_module_that_is_not_imported_has_no_objects(monkeypatch):
    assert find_by_name("no.such.module", "name") is None
    assert find_by_name("sys", "no.such.name") is None
    thing = types.FunctionType((lambda: 1).__code__, {})
    thing.__module__ = None
    assert not is_found_by_name(thing)


def test_the_module_of_an_object_without_one_is_searched(monkeypatch):
    class Unnamed:
        __module__ = None

    thing = Unnamed()
    module = types.ModuleType("with_a_thing")
    module.thing = thing
    monkeypatch.setitem(sys.modules, "with_a_thing", module)
    assert module_name_of(thing, "thing") == "with_a_thing"
    assert module_name_of(thing, "other") == "__main__"
    assert module_name_of(operator.add, "add") == "_operator"
