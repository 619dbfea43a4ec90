"""Messages on objects that cannot be pickled: they name the innermost part and its path."""

import functools
import threading
from collections import OrderedDict

import pytest

from hpcml.data.unpicklable import describe_unpicklable, pickles, text_of

LOCK = threading.Lock()


class Model:
    def __init__(self, part):
        self.part = part


class Slotted:
    __slots__ = ("part",)

    def __init__(self, part):
        self.part = part


def with_default(x=LOCK):
    return x


def uses_global():
    return LOCK


def capture(value):
    return lambda: value


CASES = {
    "list": ([1, [2, LOCK]], "x[1][1]"),
    "dict": ({"a": {"b": LOCK}}, "x['a']['b']"),
    "key": ({frozenset([capture]): 1, Slotted: LOCK}, f"x[{Slotted!r}]"),
    "attribute": (Model(Model(LOCK)), "x.part.part"),
    "slot": (Slotted([LOCK]), "x.part[0]"),
    "ordered": (OrderedDict(a=LOCK), "x['a']"),
    "partial": (functools.partial(print, 1, LOCK), "x.args[1]"),
    "method": (Model(LOCK).__init__, "x.__self__.part"),
    "captured": (capture([LOCK]), "x's variable value[0]"),
}


@pytest.mark.parametrize(("thing", "path"), CASES.values(), ids=CASES)
def test_the_path_to_the_part(thing, path):
    message = describe_unpicklable({"x": thing}, "it", TypeError("cannot pickle"))
    assert message == f"{path} is a _thread.lock, which cannot be pickled (cannot pickle)"


def test_a_function_of_the_script_is_searched_too():
    for function, path in ((with_default, "'s default x"), (uses_global, "'s global LOCK")):
        function.__module__ = "__main__"
        try:
            assert describe_unpicklable({"f": function}, "it", TypeError("no")).startswith(f"f{path} is a ")
        finally:
            function.__module__ = __name__


def test_of_several_parts_the_one_that_fails_is_named():
    message = describe_unpicklable({"args": (1, 2), "kwargs": {"a": LOCK}}, "the call", TypeError("no"))
    assert message.startswith("kwargs['a'] is a ")


def test_without_names_the_whole_is_named():
    assert describe_unpicklable({"": LOCK}, "the result", TypeError("no")).startswith("the result is a ")
    assert describe_unpicklable({"": [LOCK]}, "the result", TypeError("no")).startswith("its [0] is a ")


def test_an_object_within_itself_is_searched_once():
    around = []
    around += [around, LOCK]
    assert describe_unpicklable({"x": around}, "it", TypeError("no")).startswith("x[1] is a _thread.lock")


def test_pickles():
    assert pickles(capture(1))
    assert not pickles(LOCK)


def test_an_error_whose_text_fails():
    class Broken(Exception):
        def __str__(self):
            raise ValueError

    assert text_of(Broken()) == "(it cannot be printed)"
    assert text_of(ValueError("text")) == "text"
