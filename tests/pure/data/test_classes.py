"""Classes of the script in recorded results: found again by name and definition."""

import enum
import sys
import types

import cloudpickle
import pytest

from hpcml.data.classes import NewClasses, class_note, find_class, loads_known
from hpcml.errors import HpcmlError


def make(source, module="__main__"):
    """Return the class Point that a source defines."""
    namespace = {"__name__": module, "enum": enum}
    exec(source, namespace)
    return namespace["Point"]


POINT = "class Point:\n    x = 1\n    def double(self): return 2 * self.x"


@pytest.mark.parametrize(
    "other",
    [
        POINT.replace("2", "3"),
        POINT.replace("double", "twice"),
        POINT.replace("x = 1", "x = 'text'"),
        POINT.replace("Point:", "Point(dict):"),
        "class Point(enum.Enum):\n    A = 1",
    ],
)
def test_another_definition_is_another_note(other):
    assert class_note(make(POINT))[1] != class_note(make(other))[1]


@pytest.mark.parametrize("same", [f"\n\n{POINT}", POINT.replace("1", "7"), f"{POINT}\nPoint.__doc__ = 'text'"])
def test_lines_values_and_documentation_are_no_definition(same):
    """A script may change a value of a class while it runs."""
    assert class_note(make(POINT))[1] == class_note(make(same))[1]


def test_members_of_an_enum_are_its_definition():
    one, other = (f"class Point(enum.Enum):\n    A = {value}" for value in (1, 2))
    assert class_note(make(one))[1] != class_note(make(other))[1]


def test_the_class_is_found_among_candidates_or_in_its_module(monkeypatch):
    kind = make(POINT, "points")
    _, note = class_note(kind)
    assert find_class(note, [make("class Point: pass"), kind]) is kind
    with pytest.raises(HpcmlError, match=r"class points.Point is not there yet"):
        find_class(note, [])
    module = types.ModuleType("points")
    module.Point = kind
    monkeypatch.setitem(sys.modules, "points", module)
    assert find_class(note, []) is kind


def test_two_classes_of_one_definition_are_refused():
    kinds = [make(POINT), make(POINT)]
    with pytest.raises(HpcmlError, match="is there more than once"):
        find_class(class_note(kinds[0])[1], kinds)


def test_each_class_is_new_once():
    classes, kind = NewClasses(), make(POINT)
    classes.add([kind, kind])
    assert [note.name for _, note in classes.take()] == ["Point"]
    classes.add([kind])
    assert list(classes.take()) == []


def test_an_existing_class_keeps_its_attributes():
    kind = make(POINT)
    packed = cloudpickle.dumps(kind())
    kind.x = 5
    loaded = loads_known(packed)
    assert type(loaded) is kind
    assert kind.x == 5


def test_a_number_of_another_process_is_given_its_class():
    kind, other = make(POINT), make(POINT)
    packed = cloudpickle.dumps(kind())
    number, _ = class_note(kind)
    assert type(loads_known(packed, {number: other}.get)) is other
