"""Classes that are sent by value: loaded again, they lose the attributes that a task has added, and exist once."""

import io

import cloudpickle
import pytest

from hpcml.data.class_loading import ClassUnpickler, holds_class, load


def pickled(source, name):
    """Return the pickle of a class that this process has not, as on a worker."""
    namespace = {"__name__": "__main__"}
    exec(source, namespace)
    packed = cloudpickle.dumps(namespace[name])
    tracker = cloudpickle.cloudpickle
    for kind in [thing for thing in namespace.values() if thing in tracker._DYNAMIC_CLASS_TRACKER_BY_CLASS]:
        del tracker._DYNAMIC_CLASS_TRACKER_BY_ID[tracker._DYNAMIC_CLASS_TRACKER_BY_CLASS.pop(kind)]
    return packed


def test_a_class_is_made_once_and_loses_what_tasks_add():
    packed = pickled("class Point:\n    x = 1", "Point")
    first, _ = load(lambda: ClassUnpickler(io.BytesIO(packed)))
    first.x = 2
    first.added = 3
    again, unpickler = load(lambda: ClassUnpickler(io.BytesIO(packed)))
    assert again is first
    assert again.x == 1
    assert not hasattr(again, "added")
    assert not unpickler.registers_classes


REGISTERED = """
class Meta(type):
    known = []
    def __new__(kind, name, bases, space):
        Meta.known.append(name)
        return super().__new__(kind, name, bases, space)
class Base(metaclass=Meta):
    known = []
    def __init_subclass__(cls): Base.known.append(cls.__name__)
class Point(Base): pass
"""


def test_a_class_that_others_register_is_registered_once():
    packed = pickled(REGISTERED, "Point")
    point, unpickler = load(lambda: ClassUnpickler(io.BytesIO(packed)))
    assert unpickler.registers_classes
    assert (type(point).known, point.__base__.known) == (["Base", "Point"], ["Point"])
    again, unpickler = load(lambda: ClassUnpickler(io.BytesIO(packed)))
    assert again is point
    assert not unpickler.registers_classes
    assert (type(point).known, point.__base__.known) == (["Base", "Point"], ["Point"])


@pytest.mark.parametrize("thing", [ValueError, [1, "text"], len])
def test_pickles_without_classes(thing):
    assert not holds_class(cloudpickle.dumps(thing))


@pytest.mark.parametrize("source", ["class Point: pass", "import enum\nclass Point(enum.Enum):\n    A = 1"])
def test_a_pickle_with_a_class(source):
    assert holds_class(memoryview(pickled(source, "Point")))
